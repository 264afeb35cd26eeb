"""An OpenID provider and a GitHub on loopback: real HTTP, real keys, real tokens; and every lie.

It checks what a client must send (PKCE, secret, redirect address, a code once), and misbehaves as
it is told.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT, SECRET = "our-client", "our secret & more"
TOKEN = "gho_token"
RSA, FORGED, EC = (
    RSAKey.generate_key(2_048),
    RSAKey.generate_key(2_048),
    ECKey.generate_key("P-256"),
)
LONG = b'"' + b"x" * 65_536


def b64(data: bytes) -> str:
    """Base64 for URLs, unpadded."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class LoginDouble:
    """What it says of who signs in, what it was asked, and how it lies."""

    def __init__(self, name: str = "") -> None:
        self.keys: dict[str, Any] = {"k1": RSA, "k2": EC}
        self.kid = "k1"
        self.lie, self.at = "", "/token"
        self.person: dict[str, Any] = {
            "sub": "1234",
            "email": "ann@example.com",
            "email_verified": True,
            "name": "Ann Example",
        }
        self.addresses: Any = [
            {"email": "old@example.com", "primary": False, "verified": True},
            {"email": "ann@example.com", "primary": True, "verified": True},
        ]
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.stopped = threading.Event()
        double = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                double.serve(self, {})

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"])).decode()
                double.serve(self, {name: value[0] for name, value in parse_qs(raw).items()})

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}{name}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        """End it."""
        self.stopped.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def serve(self, http: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        """One request."""
        parts = urlsplit(http.path)
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        self.asked.append(parts.path)
        if self.lie in WIRE_LIES and parts.path == self.at:
            WIRE_LIES[self.lie](self, http)
            return
        if parts.path in {"/authorize", "/login/oauth/authorize"}:
            self._authorize(http, query)
            return
        said = self._said(parts.path, form, http.headers.get("authorization", ""))
        if said is None:
            _answer(http, 404, b"{}")
            return
        _answer(http, said[0], json.dumps(said[1]).encode())

    def _authorize(self, http: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        """The person agrees at once."""
        assert query["client_id"] == CLIENT
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = {"code": code, "state": query["state"], "iss": self.url}
        http.send_response(302)
        http.send_header("location", f"{query['redirect_uri']}?{urlencode(back)}")
        http.send_header("content-length", "0")
        http.end_headers()

    def _said(  # noqa: PLR0911 - each path has its answer.
        self, path: str, form: dict[str, str], shown: str
    ) -> tuple[int, Any] | None:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": "https://other.example.com" if self.lie == "other_self" else self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": "http://example.com/token"
                if self.lie == "plain_http"
                else f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
        if path == "/jwks":
            keys = [
                {**key.as_dict(private=False), "kid": kid, "use": "sig"}
                for kid, key in self.keys.items()
            ]
            return 200, {"keys": keys}
        if path in {"/token", "/login/oauth/access_token"}:
            asked = self._asked(form)
            if asked is None:
                return (
                    (400, {"error": "invalid_grant"})
                    if path == "/token"
                    else (
                        200,
                        {"error": "bad_verification_code"},
                    )
                )
            if path == "/token":
                return 200, {"access_token": "x", "id_token": self.id_token(asked["nonce"])}
            return 200, {"access_token": TOKEN, "token_type": "bearer"}
        if path.startswith("/api/v3/user"):
            if shown != f"Bearer {TOKEN}":
                return 401, {"message": "Bad credentials"}
            if path.endswith("/emails"):
                return 200, self.addresses
            number = self.person["sub"]
            return 200, {"id": int(number) if str(number).isdigit() else number, "login": "ann"}
        return None

    def _asked(self, form: dict[str, str]) -> dict[str, str] | None:
        """What a code was given for, once, to who shows that they asked for it."""
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None:
            return None
        challenge = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        right = (
            challenge == asked["code_challenge"]
            and form["redirect_uri"] == asked["redirect_uri"]
            and (form["client_id"], form["client_secret"]) == (CLIENT, SECRET)
        )
        return asked if right else None

    def id_token(self, nonce: str) -> str:
        """The token, or what the lie makes of it."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.person,
            **CLAIM_LIES.get(self.lie, {}),
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        for name in ("exp", "iat", "nbf"):
            if isinstance(claims.get(name), float):
                claims[name] = now + int(claims[name])
        header = {"alg": "RS256" if self.kid == "k1" else "ES256", "kid": self.kid}
        key: Any = self.keys[self.kid]
        if self.lie == "alg_none":
            return (
                f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."
            )
        if self.lie == "shared_key":
            header["alg"] = "HS256"
            # The library refuses to sign with a public key: an attacker's would not.
            return _shared(header, claims, self.keys["k1"].as_pem(private=False))
        if self.lie == "unknown_kid":
            header["kid"] = "k9"
        if self.lie == "forged":
            key = FORGED
        if self.lie == "no_token":
            return ""
        token = jwt.encode(header, claims, key, algorithms=[header["alg"]])
        if self.lie == "altered":
            head, body, mac = token.split(".")
            said = json.loads(base64.urlsafe_b64decode(body + "=="))
            return f"{head}.{b64(json.dumps({**said, 'sub': 'root'}).encode())}.{mac}"
        return token


def _part(said: dict[str, Any]) -> str:
    return b64(json.dumps(said).encode())


def _shared(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    """A token of HS256 under what everybody knows."""
    text = f"{_part(header)}.{_part(claims)}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), 'sha256'))}"


CLAIM_LIES: dict[str, dict[str, Any]] = {
    "wrong_aud": {"aud": "another-client"},
    "two_auds": {"aud": [CLIENT, "another-client"]},
    "no_aud": {"aud": None},
    "other_issuer": {"iss": "https://other.example.com"},
    "expired": {"exp": -120.0},
    "no_end": {"exp": None},
    "odd_end": {"exp": "tomorrow"},
    "ahead": {"iat": 600.0},
    "not_before": {"nbf": 600.0},
    "wrong_nonce": {"nonce": "another"},
    "no_nonce": {"nonce": None},
    "no_subject": {"sub": None},
    "long_subject": {"sub": "x" * 1_000},
    "odd_subject": {"sub": {"a": 1}},
}
"""Claims in the place of the right ones; None for none, a fraction for so many seconds from now."""


def _answer(http: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    http.send_response(status)
    http.send_header("content-type", "application/json")
    http.send_header("content-length", str(len(body)))
    for name, value in headers.items():
        http.send_header(name.replace("_", "-"), value)
    http.end_headers()
    http.wfile.write(body)


def _endless(double: LoginDouble, http: BaseHTTPRequestHandler) -> None:
    http.send_response(200)
    http.send_header("content-type", "application/json")
    http.end_headers()
    try:
        while not double.stopped.is_set():
            http.wfile.write(LONG)
    except OSError:
        http.close_connection = True


def _slow(double: LoginDouble, http: BaseHTTPRequestHandler) -> None:
    http.send_response(200)
    http.send_header("content-length", "1000")
    http.end_headers()
    try:
        while not double.stopped.wait(0.05):
            http.wfile.write(b" ")
    except OSError:
        http.close_connection = True


WIRE_LIES: dict[str, Any] = {
    "endless": _endless,
    "slow": _slow,
    "redirect": lambda _, http: _answer(http, 302, b"", location="http://127.0.0.1:1/"),
    "no_json": lambda _, http: _answer(http, 200, b"<html>"),
    "deep": lambda _, http: _answer(http, 200, b"[" * 100_000),
    "a_list": lambda _, http: _answer(http, 200, b"[]"),
    "empty": lambda _, http: _answer(http, 200, b""),
    "error": lambda _, http: _answer(http, 500, b"{}"),
    "gzip": lambda _, http: _answer(http, 200, b"\x1f\x8b", content_encoding="gzip"),
}
"""Answers that are none."""


@contextmanager
def login_double() -> Iterator[LoginDouble]:
    """One for a block."""
    made = LoginDouble()
    try:
        yield made
    finally:
        made.close()
