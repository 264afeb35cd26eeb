"""Login providers are asked over real HTTP, and none of their lies is believed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from providers.login.github import GithubProvider
from providers.login.oidc import OidcProvider
from providers.login.port import Asked, Identity, LoginRefusedError, LoginUnavailableError
from providers.login.privy import PrivyTokens
from providers.login.remote import Remote, check_url
from providers.login.tokens import Keys, OneKey
from tests.support.login_double import (
    CLAIM_LIES,
    CLIENT,
    SECRET,
    WIRE_LIES,
    LoginDouble,
    login_double,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = Asked("state", "nonce", "verifier" * 6, "https://gw.example.com/auth/oidc/oidc/callback")
ANN = Identity("oidc", "1234", "ann@example.com", True, "Ann Example")


@pytest.fixture
def double() -> Iterator[LoginDouble]:
    """A provider."""
    with login_double() as made:
        yield made


def sign_in(
    double: LoginDouble, kind: str = "oidc", *, reply_s: float = 5, times: int = 1
) -> Identity:
    """The whole way, with the browser's part."""

    async def run() -> Identity:
        remote, client = Remote(reply_s), (CLIENT, SECRET)
        provider: Any = (
            GithubProvider(double.url, client, remote)
            if kind == "github"
            else OidcProvider("oidc", double.url, client, remote)
        )
        try:
            found: Identity | None = None
            for _ in range(times):
                url = await provider.address_to_ask(ASKED)
                back = await asyncio.to_thread(httpx.get, url)
                query = parse_qs(urlsplit(back.headers["location"]).query)
                assert query["state"] == [ASKED.state]
                found = await provider.who(query["code"][0], ASKED)
            assert found is not None
            return found
        finally:
            await remote.close()

    return asyncio.run(run())


@pytest.mark.parametrize("kid", ["k1", "k2"])
def test_an_openid_provider_says_who_somebody_is(double: LoginDouble, kid: str) -> None:
    """Signed with RSA or with an elliptic curve (rule: contract)."""
    double.kid = kid
    assert sign_in(double) == ANN


def test_description_and_keys_are_fetched_once(double: LoginDouble) -> None:
    """Not at every sign-in (rule: bounded)."""
    sign_in(double, times=3)
    assert double.asked.count("/jwks") == 1
    assert double.asked.count("/.well-known/openid-configuration") == 1


def test_an_address_is_verified_where_the_provider_says_so_in_so_many_words(
    double: LoginDouble,
) -> None:
    """Not by a text, a number, or silence (rule: access)."""
    for said in (False, None, "true", 1):
        double.person["email_verified"] = said
        assert sign_in(double).verified is False
    double.person = {"sub": "1", "email": 5, "email_verified": True}
    assert sign_in(double) == Identity("oidc", "1", None, False, None)


TOKEN_LIES = ("alg_none", "shared_key", "unknown_kid", "forged", "altered", "no_token")


@pytest.mark.parametrize("lie", [*CLAIM_LIES, *TOKEN_LIES])
def test_a_token_that_does_not_hold_is_refused(double: LoginDouble, lie: str) -> None:
    """Whatever is wrong with it; the refusal names nobody (rule: access, P5)."""
    double.lie = lie
    with pytest.raises(LoginRefusedError) as refused:
        sign_in(double)
    assert "ann" not in str(refused.value).casefold().replace("another", "")


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_unknown_keys_are_not_looked_for_again_and_again(double: LoginDouble) -> None:
    """Once, and then not for half a minute (rule: bounded)."""
    remote, now = Remote(), [1_000.0]

    async def run() -> None:
        keys = Keys(remote, f"{double.url}/jwks", lambda: now[0])
        for _ in range(5):
            with pytest.raises(LoginRefusedError):
                await keys.key("k9", "RSA")
        assert double.asked.count("/jwks") == 1
        double.keys["k9"] = RSAKey.generate_key(2_048)
        now[0] += 31
        await keys.key("k9", "RSA")
        with pytest.raises(LoginRefusedError):
            await keys.key("k9", "EC")
        double.keys["short"] = RSAKey.generate_key(1_024)
        now[0] += 31
        with pytest.raises(LoginRefusedError, match="too short"):
            await keys.key("short", "RSA")
        await remote.close()

    asyncio.run(run())


@pytest.mark.parametrize("at", ["/token", "/jwks", "/.well-known/openid-configuration"])
@pytest.mark.parametrize("lie", WIRE_LIES)
def test_an_answer_that_is_none_is_bounded(double: LoginDouble, lie: str, at: str) -> None:
    """Endless, slow, elsewhere, compressed, or no JSON: within the time (rule: bounded)."""
    double.lie, double.at = lie, at
    began = time.monotonic()
    with pytest.raises((LoginUnavailableError, LoginRefusedError)):
        sign_in(double, reply_s=1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("lie", ["other_self", "plain_http"])
def test_a_provider_that_describes_another_is_not_asked(double: LoginDouble, lie: str) -> None:
    """Another issuer, or an address that anybody between can read (rule: access)."""
    double.lie = lie
    with pytest.raises(LoginUnavailableError):
        sign_in(double)


def test_a_code_is_nothing_without_what_asked_for_it(double: LoginDouble) -> None:
    """PKCE: another verifier, or the same code again (rule: access)."""

    async def run() -> None:
        remote = Remote()
        provider = OidcProvider("oidc", double.url, (CLIENT, SECRET), remote)
        for asked in (ASKED._replace(verifier="x" * 43), ASKED):
            back = await asyncio.to_thread(httpx.get, await provider.address_to_ask(ASKED))
            (code,) = parse_qs(urlsplit(back.headers["location"]).query)["code"]
            if asked is ASKED:
                await provider.who(code, asked)
            with pytest.raises(LoginRefusedError, match="nobody's"):
                await provider.who(code, asked)
        await remote.close()

    asyncio.run(run())


def test_github_vouches_for_the_primary_address_alone(double: LoginDouble) -> None:
    """And only where it is verified (rule: access)."""
    assert sign_in(double, "github") == Identity("github", "1234", "ann@example.com", True, "ann")
    double.addresses[1]["verified"] = False
    assert sign_in(double, "github") == Identity("github", "1234", None, False, "ann")
    double.addresses[1].update(verified=True, primary=False)
    assert sign_in(double, "github").address is None
    odd: tuple[Any, ...] = ({}, None, "x")
    for addresses in odd:
        double.addresses = addresses
        with pytest.raises(LoginUnavailableError):
            sign_in(double, "github")
    double.addresses = [None, 5, {"email": ["x"], "primary": True, "verified": True}]
    assert sign_in(double, "github").address is None
    for number in ("no-number", "0", "-1"):
        double.person["sub"] = number
        with pytest.raises(LoginUnavailableError):
            sign_in(double, "github")


@pytest.mark.parametrize("at", ["/login/oauth/access_token", "/api/v3/user", "/api/v3/user/emails"])
@pytest.mark.parametrize(
    "lie", ["endless", "slow", "redirect", "no_json", "deep", "empty", "error"]
)
def test_githubs_answers_are_bounded_too(double: LoginDouble, lie: str, at: str) -> None:
    """Each of the three (rule: bounded)."""
    double.lie, double.at = lie, at
    with pytest.raises((LoginUnavailableError, LoginRefusedError)):
        sign_in(double, "github", reply_s=1)


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://x", "file:///etc/passwd", "", "http://[", "x"]
)
def test_only_https_is_asked(url: str) -> None:
    """Or this machine (rule: access)."""
    with pytest.raises(LoginUnavailableError):
        check_url(url)


KEY = ECKey.generate_key("P-256")


def privy_token(key: Any = KEY, alg: str = "ES256", **claims: Any) -> str:
    """A token as Privy signs it."""
    now = int(time.time())
    said = {"sid": "s", "sub": "did:privy:1", "iss": "privy.io", "aud": "app", "iat": now}
    return jwt.encode({"alg": alg}, {**said, "exp": now + 60, **claims}, key, algorithms=[alg])


def read_privy(token: str) -> Any:
    """What it says."""
    tokens = PrivyTokens("app", OneKey(KEY.as_pem(private=False).decode()))
    return asyncio.run(tokens.read(token))


def test_a_privy_token_says_who_somebody_is() -> None:
    """An access token no address, an identity token those that were verified (rule: contract)."""
    found = read_privy(privy_token())
    assert (found.identity.subject, found.identity.address) == ("did:privy:1", None)
    accounts = (
        '[{"type":"wallet","address":"0x1","lv":1},{"type":"email","address":"old@example.com"},'
        '{"type":"google_oauth","email":"ann@example.com","name":"Ann","lv":1}]'
    )
    found = read_privy(privy_token(linked_accounts=accounts))
    assert found.identity == Identity("privy", "did:privy:1", "ann@example.com", True, "Ann")
    assert found.method == "google"
    for odd in (
        "[",
        "{}",
        "[5]",
        5,
        [{"type": "email", "address": 5, "lv": 1}],
        "[" * 100_000 if False else "x",
    ):
        assert read_privy(privy_token(linked_accounts=odd)).identity.address is None


@pytest.mark.parametrize(
    "claims",
    [
        *({"aud": "other"}, {"iss": "evil.io"}, {"exp": 1}, {"sub": ""}, {"sub": None}),
        *({"iat": 9_999_999_999}, {"exp": "soon"}, {"aud": None}),
    ],
)
def test_a_privy_token_of_another_app_or_time_is_refused(claims: dict[str, Any]) -> None:
    """As every token (rule: access)."""
    with pytest.raises(LoginRefusedError):
        read_privy(privy_token(**claims))


def test_a_privy_token_of_another_key_or_kind_is_refused() -> None:
    """Not another curve's key, RSA, none, or garbage (rule: access)."""
    head, body, _ = privy_token().split(".")
    for token in (
        privy_token(ECKey.generate_key("P-256")),
        privy_token(RSAKey.generate_key(2_048), "RS256"),
        f"{head}.{body}.",
        f"eyJhbGciOiJub25lIn0.{body}.",
        *("", "x", "a.b.c", "é.é.é", "W10.e30.x", "." * 20_000, "eyJhbGciOlsiRVMyNTYiXX0.e30.x"),
    ):
        with pytest.raises(LoginRefusedError):
            read_privy(token)


def test_a_verification_key_that_is_none_is_refused_at_the_start() -> None:
    """Not at the first sign-in (rule: refuse clearly)."""
    for pem in ("", "x", RSAKey.generate_key(2_048).as_pem(private=False).decode()):
        with pytest.raises(ValueError, match="no public EC key"):
            OneKey(pem)
    OneKey(KEY.as_pem(private=False).decode().replace("\n", "\\n"))
