"""People sign in by a provider's word, and nobody gets into another's account by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from domain.ledger.lots import TRIAL_NANO_USD
from tests.command_api.second_factor.test_totp import as_if_later, enrolled
from tests.support.harness import TIMEOUT_S, eventually, running_gateway
from tests.support.login_double import CLIENT, SECRET, LoginDouble, login_double
from tests.support.people import NEW_PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PUBLIC = "https://gw.example.com/app"


@pytest.fixture
def double() -> Iterator[LoginDouble]:
    """A provider."""
    with login_double() as made:
        yield made


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, double: LoginDouble
) -> Iterator[RunningGateway]:
    """One that asks it, as an OpenID provider and as a GitHub."""
    settings = {
        "public_url": PUBLIC,
        "oidc_issuer": double.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret": SECRET,
        "github_url": double.url,
        "github_client_id": CLIENT,
        "github_client_secret": SECRET,
    }
    with running_gateway(database, tmp_path / "home", upstream, **settings) as made:
        yield made


class Begun(NamedTuple):
    """A browser that was sent to the provider, and back."""

    cookie: str
    path: str
    set_cookie: str


def begin(gateway: RunningGateway, name: str = "oidc", **query: str) -> Begun:
    """Start, and agree at the provider."""
    with httpx.Client(timeout=TIMEOUT_S) as client:
        started = client.get(f"{gateway.url}/auth/oidc/{name}/start", params=query)
        assert started.status_code == 303, started.text
        back = client.get(started.headers["location"]).headers["location"]
    assert back.startswith(f"{PUBLIC}/auth/oidc/{name}/callback?")
    set_cookie = started.headers["set-cookie"]
    return Begun(set_cookie.partition(";")[0], back.removeprefix(PUBLIC), set_cookie)


def end(gateway: RunningGateway, begun: Begun, cookie: str | None = None) -> httpx.Response:
    """Come back."""
    shown = begun.cookie if cookie is None else cookie
    headers = {b"cookie": shown.encode("latin-1")}
    return httpx.get(gateway.url + begun.path, headers=headers, timeout=TIMEOUT_S)


def enter(gateway: RunningGateway, name: str = "oidc", status: int = 200) -> dict[str, Any]:
    """The whole way, without a page to come back to."""
    found = end(gateway, begin(gateway, name))
    assert found.status_code == status, found.text
    answer: dict[str, Any] = found.json()
    return answer


def profile(gateway: RunningGateway, answer: dict[str, Any]) -> dict[str, Any]:
    """Whose account a session opens."""
    shown = {"authorization": f"Bearer {answer['access_token']}"}
    found = httpx.get(f"{gateway.url}/user/profile", headers=shown, timeout=TIMEOUT_S)
    assert found.status_code == 200, found.text
    said: dict[str, Any] = found.json()
    return said


def rows(gateway: RunningGateway, sql: str) -> list[Any]:
    """What a query finds."""
    with gateway.database.connect() as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("name", ["oidc", "github"])
def test_a_provider_registers_somebody_once(gateway: RunningGateway, name: str) -> None:
    """With a verified address, a trial and a link; the next time they enter (money rule 10)."""
    first = profile(gateway, enter(gateway, name))
    assert (first["email"], first["email_verified"]) == ("ann@example.com", True)
    assert first["credits_nano_usd"] == TRIAL_NANO_USD
    again = profile(gateway, enter(gateway, name))
    assert again["user_id"] == first["user_id"]
    assert again["credits_nano_usd"] == TRIAL_NANO_USD
    assert rows(gateway, "SELECT provider FROM linked_identity") == [(name,)]
    stored = str(rows(gateway, "SELECT t::text FROM linked_identity t"))
    assert b"1234".hex() not in stored
    gateway.verified()


def test_the_cookie_is_for_this_browser_and_this_way(gateway: RunningGateway) -> None:
    """HttpOnly, Secure over https, SameSite=Lax, for the callback alone (rule: access)."""
    words = {each.strip().lower() for each in begin(gateway).set_cookie.split(";")[1:]}
    assert words == {"httponly", "secure", "samesite=lax", "path=/app/auth/oidc", "max-age=600"}


def test_a_state_is_good_once_and_in_the_browser_that_began(gateway: RunningGateway) -> None:
    """Nobody is signed in to another's account unawares (rule: access)."""
    for cookie in ("", "gatewayz_login=x", begin(gateway).cookie, "gatewayz_login=" + "é" * 9_000):
        begun = begin(gateway)
        found = end(gateway, begun, cookie)
        assert (found.status_code, found.json()["code"]) == (400, "invalid_login_state")
        found = end(gateway, begun)
        assert found.json()["code"] == "invalid_login_state", "a wrong browser used it up"
    begun = begin(gateway)
    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(lambda _: end(gateway, begun).status_code, range(4)))
    assert statuses == [200, 400, 400, 400]
    begun = begin(gateway)
    for path in (
        begun.path.replace("/oidc/callback", "/github/callback"),
        "/auth/oidc/oidc/callback",
        "/auth/oidc/oidc/callback?state=x&code=y",
        "/auth/oidc/oidc/callback?error=access_denied",
    ):
        found = end(gateway, begun._replace(path=path))
        assert (found.status_code, found.json()["code"]) == (400, "invalid_login_state")
    late = begin(gateway)
    with gateway.database.connect() as connection:
        connection.execute("UPDATE once SET expires_at = clock_timestamp()")
    assert end(gateway, late).json()["code"] == "invalid_login_state"


def test_a_link_needs_both_sides_to_have_verified_the_address(
    gateway: RunningGateway, double: LoginDouble
) -> None:
    """Here and there; then the password goes on, and so does the account (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        made = ann.register()
        refused = enter(gateway, status=403)
        assert refused["code"] == "identity_not_linked"
        assert "not verified here" in refused["detail"]
        ann.post("/auth/verify-email", token=ann.token("Verify"))
        double.person["email_verified"] = False
        refused = enter(gateway, status=403)
        assert "not verified at the provider" in refused["detail"]
        double.person["email_verified"] = True
        assert profile(gateway, enter(gateway))["user_id"] == made["user_id"]
        eventually(lambda: any("Oidc" in each.get_content() for each in ann.mails()))
        ann.login()
        double.person = {"sub": "5678", "email": "ann@example.com", "email_verified": True}
        assert enter(gateway, status=403)["code"] == "identity_not_linked"
        listed = ann.client.get("/auth/identities").json()["identities"]
        assert [each["provider"] for each in listed] == ["oidc"]
        assert ann.client.delete("/auth/identities/github").status_code == 404
        assert ann.client.delete("/auth/identities/oidc").status_code == 200
        assert profile(gateway, enter(gateway))["user_id"] == made["user_id"]


def test_a_linked_person_stays_who_they_are_with_another_address(
    gateway: RunningGateway, double: LoginDouble
) -> None:
    """The subject counts, not the address (rule: access)."""
    first = profile(gateway, enter(gateway))
    double.person["email"] = "new@example.com"
    found = profile(gateway, enter(gateway))
    assert (found["user_id"], found["email"]) == (first["user_id"], "ann@example.com")


def test_without_an_address_nobody_is_registered(
    gateway: RunningGateway, double: LoginDouble
) -> None:
    """Nor with one that cannot be, and nothing is kept (rule: refuse clearly)."""
    double.addresses = []
    assert enter(gateway, "github", 400)["code"] == "address_missing"
    for address in (None, "", "no address", "аnn@example.com", 5):
        double.person["email"] = address
        assert enter(gateway, status=400)["code"] == "address_missing"
    assert rows(gateway, "SELECT FROM user_secret") == []


def test_an_unverified_address_brings_no_trial_until_it_is_verified(
    gateway: RunningGateway, double: LoginDouble
) -> None:
    """A mail goes out, as at every registration (money rule 10)."""
    double.person["email_verified"] = False
    found = profile(gateway, enter(gateway))
    assert (found["email_verified"], found["credits_nano_usd"]) == (False, 0)
    ann = Person(gateway)
    with closing(ann.client):
        ann.post("/auth/verify-email", token=ann.token("Verify"))
    assert profile(gateway, enter(gateway))["credits_nano_usd"] == TRIAL_NANO_USD


def test_who_resets_the_password_of_an_unverified_address_is_alone(
    gateway: RunningGateway, double: LoginDouble
) -> None:
    """Whoever registered it before, by whatever way, gets in no more (rule: access)."""
    double.person["email_verified"] = False
    enter(gateway)
    ann = Person(gateway)
    with closing(ann.client):
        ann.client.post("/auth/password-reset", params={"email": ann.address})
        ann.post("/auth/reset-password", token=ann.token("new password"), password=NEW_PASSWORD)
        assert enter(gateway, status=403)["code"] == "identity_not_linked"
        ann.login(password=NEW_PASSWORD)


def test_two_who_come_for_the_first_time_at_once_are_one(gateway: RunningGateway) -> None:
    """One user, one link, one trial (money rule 10)."""
    begun = [begin(gateway) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: end(gateway, each), begun))
    assert {each.status_code for each in found} <= {200, 409}
    users = {each.json()["user_id"] for each in found if each.status_code == 200}
    assert len(users) == 1
    assert rows(gateway, "SELECT count(*) FROM user_secret") == [(1,)]
    assert rows(gateway, "SELECT granted FROM credit_account") == [(TRIAL_NANO_USD,)]


def test_a_page_gets_a_code_for_a_session(gateway: RunningGateway) -> None:
    """Behind the hash of a path of ours; it is good once (rule: access)."""
    found = end(gateway, begin(gateway, return_to="/account?tab=1"))
    assert found.status_code == 303
    target, _, fragment = found.headers["location"].partition("#")
    assert target == "https://gw.example.com/account?tab=1"
    (code,) = parse_qs(fragment)["login_code"]
    body = {"login_code": code}
    url = f"{gateway.url}/auth/login/exchange"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: httpx.post(url, json=body, timeout=TIMEOUT_S), range(4)))
    assert sorted(each.status_code for each in answers) == [200, 401, 401, 401]
    won = next(each.json() for each in answers if each.status_code == 200)
    assert profile(gateway, won)["email"] == "ann@example.com"
    assert httpx.post(url, json={"login_code": "x"}, timeout=TIMEOUT_S).status_code == 401


def test_a_page_is_told_what_went_wrong(gateway: RunningGateway, double: LoginDouble) -> None:
    """By a code, at the path that was asked for (rule: refuse clearly)."""
    for lie, code in (("forged", "login_refused"), ("no_json", "login_unavailable")):
        double.lie = lie
        found = end(gateway, begin(gateway, return_to="/in"))
        assert found.headers["location"] == f"https://gw.example.com/in#login_error={code}"
        assert enter(gateway, status=401 if lie == "forged" else 503)["code"] == code
    double.lie = ""
    begun = begin(gateway)
    (state,) = parse_qs(urlsplit(begun.path).query)["state"]
    denied = begun._replace(path=f"/auth/oidc/oidc/callback?error=access_denied&state={state}")
    assert end(gateway, denied).json()["code"] == "login_refused"
    assert rows(gateway, "SELECT FROM user_secret") == []


ELSEWHERE = (
    *("//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "evil"),
    *("/a\r\nset-cookie: x=y", "/\t/evil.example.com", "/" + "x" * 600, "javascript:alert(1)"),
)


def test_the_way_back_leads_nowhere_else(gateway: RunningGateway) -> None:
    """Refused before anybody is sent away; a Host header changes nothing (rule: access)."""
    for path in ELSEWHERE:
        found = httpx.get(
            f"{gateway.url}/auth/oidc/oidc/start", params={"return_to": path}, timeout=TIMEOUT_S
        )
        assert found.status_code == 400, path
        assert "location" not in found.headers
        assert "set-cookie" not in found.headers
    found = httpx.get(
        f"{gateway.url}/auth/oidc/oidc/start",
        headers={"host": "evil.example.com", "x-forwarded-host": "evil.example.com"},
        timeout=TIMEOUT_S,
    )
    (uri,) = parse_qs(urlsplit(found.headers["location"]).query)["redirect_uri"]
    assert uri == f"{PUBLIC}/auth/oidc/oidc/callback"


def test_a_second_step_is_asked_for_here_too(gateway: RunningGateway) -> None:
    """A provider's word is one factor (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register()
        ann.post("/auth/verify-email", token=ann.token("Verify"))
        ann.login()
        totp, _ = enrolled(ann)
        as_if_later(gateway)
        answer = enter(gateway)
        assert answer["mfa_required"] is True
        assert "access_token" not in answer
        path, token = "/auth/login/second-step", answer["second_step_token"]
        done = ann.post(path, second_step_token=token, code=totp.now())
        assert profile(gateway, done)["email"] == ann.address


def test_only_providers_that_are_set_up_are_there(
    gateway: RunningGateway, database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The others are not known; without an address of our own none is (rule: refuse clearly)."""
    found = httpx.get(f"{gateway.url}/auth/oidc", timeout=TIMEOUT_S).json()["providers"]
    assert [each["name"] for each in found] == ["github", "oidc"]
    for name in ("google", "x"):
        for way in ("start", "callback"):
            answer = httpx.get(f"{gateway.url}/auth/oidc/{name}/{way}", timeout=TIMEOUT_S)
            assert (answer.status_code, answer.json()["code"]) == (404, "provider_not_found")
    settings = {"google_client_id": "x", "google_client_secret": "y"}
    with running_gateway(database, tmp_path / "other", upstream, **settings) as other:
        answer = httpx.get(f"{other.url}/auth/oidc/google/start", timeout=TIMEOUT_S)
        assert (answer.status_code, answer.json()["code"]) == (501, "login_not_set_up")
        assert httpx.get(f"{other.url}/auth/oidc", timeout=TIMEOUT_S).json() == {"providers": []}


def test_sign_ins_of_one_origin_are_limited(gateway: RunningGateway) -> None:
    """Sixty in a quarter of an hour (rule: bounded)."""
    url = f"{gateway.url}/auth/oidc/oidc/start"
    with httpx.Client(timeout=TIMEOUT_S) as client:
        statuses = [client.get(url).status_code for _ in range(61)]
    assert statuses == [303] * 60 + [429]
