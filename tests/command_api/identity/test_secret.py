"""The secret behind every key: made once, whole, known to its database, replaced in one step."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from command_api.composition import place_of_secret, vault_of
from command_api.identity import rotation
from command_api.identity.rotation import rotate
from command_api.identity.secret import Place, SecretError, make_secret, read_fingerprints
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from command_api.settings import Settings
from domain.errors import InvalidCommandError
from event_store.append.leases import Lease
from event_store.ids import new_uuid7
from tests.support.harness import ASK, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


def opened(database: Database, home: Path, **given: Any) -> Vault:
    """The vault of a home, as a start opens it."""
    return vault_of(Settings(home=home, **given), database)


def test_gateways_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """Many at once, in a new folder: one secret, readable by its owner only (rule: access)."""
    file = tmp_path / "shared" / "key"
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: make_secret(file), range(64)))
    assert len(set(found)) == 1
    assert len(found[0]) > 32
    assert file.stat().st_mode & 0o077 == 0
    assert [each.name for each in file.parent.iterdir()] == ["key"]


def test_a_configured_secret_wins_and_must_be_long_enough(tmp_path: Path) -> None:
    """Hashes and data keys never hang on a guessable secret (P5, rule: access)."""
    file = tmp_path / "secret.key"
    made = make_secret(file)
    assert Place(file).read() == made
    assert Place(file, "x" * 16).read() == b"x" * 16
    for place in (Place(file, "short"), Place(file)):
        file.write_text("short\n")
        with pytest.raises(SecretError, match="at least 16 bytes"):
            place.read()
    assert "x" * 16 not in repr(Place(file, "x" * 16))


def test_a_secret_file_makes_its_folder_or_says_that_it_cannot(
    tmp_path: Path, database: Database
) -> None:
    """The cure names the variable; a folder that only lacks is made (rule: refuse clearly)."""
    lacking = tmp_path / "a/b/secret.key"
    first = opened(database, tmp_path, secret_file=lacking)
    again = opened(database, tmp_path, secret_file=lacking)
    assert first.key_hash(b"k") == again.key_hash(b"k")
    assert lacking.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match="GATEWAYZ_SECRET_FILE"):
        opened(database, tmp_path, secret_file=tmp_path / "file/secret.key")


def test_a_wrong_or_missing_secret_is_refused(tmp_path: Path, database: Database) -> None:
    """It names both fingerprints and makes no new secret (P5, rule: refuse clearly)."""
    vault = opened(database, tmp_path)
    file = tmp_path / "secret.key"
    assert read_fingerprints(database, Place(file)) == (vault.fingerprint, vault.fingerprint)
    with pytest.raises(SecretError, match=f"that of this database.*{vault.fingerprint}"):
        opened(database, tmp_path, secret_key="y" * 16)
    kept = file.read_bytes()
    file.unlink()
    with pytest.raises(SecretError, match=r"is missing: put .*secret\.key back"):
        opened(database, tmp_path)
    assert not file.exists()
    file.write_bytes(kept)
    assert opened(database, tmp_path).fingerprint == vault.fingerprint


def test_a_database_from_before_fingerprints_knows_its_secret_by_its_users(
    tmp_path: Path, database: Database
) -> None:
    """A data key that opens is the proof; one that does not is a refusal (P5)."""
    users = Users(database, Vault(b"the first secret"), actor="test")
    users.create_user("a@example.com")
    users.close()
    with pytest.raises(SecretError, match="not the one that this database was made with"):
        opened(database, tmp_path, secret_key="another secret..")
    with pytest.raises(SecretError, match="is missing"):
        opened(database, tmp_path)
    opened(database, tmp_path, secret_key="the first secret")
    _, known = read_fingerprints(database, Place(tmp_path / "none"))
    assert known == Vault(b"the first secret").fingerprint


def test_keys_users_and_kept_replies_outlive_rotations(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Twice rotated: old keys call, a keyed reply is replayed, an address is taken (P3, P5)."""
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, secret_key=None) as gateway:
        user = gateway.user(email="a@example.com")
        first = gateway.chat(user, ASK, **{"Idempotency-Key": "one"})
        assert first.status_code == 200
    place = place_of_secret(Settings(home=home))
    known = {opened(database, home).fingerprint}
    for generation in (1, 2):
        done = rotate(database, place, None)
        assert (done.users, done.unreadable, done.retired_secrets) == (1, 0, generation)
        known.add(done.fingerprint)
    assert len(known) == 3
    with running_gateway(database, home, upstream, secret_key=None) as gateway:
        again = gateway.chat(user, ASK, **{"Idempotency-Key": "one"})
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == first.content
        assert gateway.chat(user, ASK).status_code == 200
        assert gateway.chat(gateway.user(), ASK).status_code == 200
        with pytest.raises(InvalidCommandError, match="exists already"):
            gateway.user(email="A@example.com")
        users = gateway.users()
        assert users.revoke_key(user.api_key, "by the key itself") == user.key_id
        users.close()
        gateway.verified()
    kept = sorted(each.name for each in home.glob("secret.key*"))
    assert len(kept) == 3
    assert kept[0] == "secret.key"


def test_a_rotation_waits_for_no_gateway(database: Database, tmp_path: Path) -> None:
    """Beside a living one it is refused, and nothing has changed (rule: refuse clearly)."""
    before = opened(database, tmp_path)

    async def beside() -> None:
        lease = Lease(database, new_uuid7(), home="here", life_s=30, heartbeat_s=5)
        await lease.start()
        try:
            with pytest.raises(SecretError, match="stop all gateways first"):
                await asyncio.to_thread(rotate, database, Place(tmp_path / "secret.key"), None)
        finally:
            await lease.stop()

    asyncio.run(beside())
    assert opened(database, tmp_path).fingerprint == before.fingerprint


def test_a_rotation_cut_off_before_the_file_is_finished_by_the_next_start(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database decides: committed, the next file is the file; else the old one stays (P5)."""
    place = Place(tmp_path / "secret.key")
    before = opened(database, tmp_path)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rotation, "_rewrap_users", cut)
        rotate(database, place, None)
    assert opened(database, tmp_path).fingerprint == before.fingerprint
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rotation, "put_in_place", cut)
        rotate(database, place, None)
    after = opened(database, tmp_path)
    assert after.fingerprint != before.fingerprint
    assert not place.next_file.exists()
    assert Vault(place.read() or b"").fingerprint == after.fingerprint


def test_a_secret_of_a_variable_is_rotated_to_a_file(database: Database, tmp_path: Path) -> None:
    """Named by the operator; the old one is told by name afterwards (rule: refuse clearly)."""
    place, to = Place(tmp_path / "none", "x" * 16), tmp_path / "new.key"
    opened(database, tmp_path, secret_key="x" * 16)
    with pytest.raises(SecretError, match="--to"):
        rotate(database, place, None)
    rotate(database, place, to)
    with pytest.raises(SecretError, match="was replaced by a rotation"):
        opened(database, tmp_path, secret_key="x" * 16)
    opened(database, tmp_path, secret_file=to)
    with pytest.raises(SecretError, match="was in force before"):
        back = tmp_path / "back"
        back.write_text("x" * 16)
        rotate(database, Place(to), back)
