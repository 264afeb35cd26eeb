"""Redirects lead where they may, over real sockets.

All of 127.0.0.0/8 is this machine, so 127.0.0.1 stands for what is public here and 127.0.0.2 for
what is not, where a test needs a connection that comes about.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers.fetching.fetch import (
    REDIRECTS_MAX,
    RedirectRefusedError,
    ReplyTooLargeError,
    Rules,
    fetch,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.harness import ScriptedUpstream

OPEN_HERE, CLOSED_HERE = "127.0.0.1", "127.0.0.2"
SECRETS = {"authorization": "Bearer sk-up", "x-api-key": "sk-up", "x-goog-api-key": "sk-up"}
RULES = Rules(bytes_max=1_000, wait_s=5, total_s=5)


def here(address: str) -> bool:
    """What stands for the public network in these tests."""
    return address == OPEN_HERE


class Resolver:
    """Answers each question with the next of its answers, then with the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), list[str]()

    async def __call__(self, host: str, _: int) -> list[str]:
        """As the system's."""
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Site:
    """A server on one address that answers each path from a table, and keeps what it was asked."""

    def __init__(self, address: str, pages: dict[str, tuple[int, dict[str, str], bytes]]) -> None:
        self.pages, self.asked = pages, list[tuple[str, dict[str, str]]]()
        self.connections = 0
        self.tls: ssl.SSLContext | None = None
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, path: str = "/", host: str = OPEN_HERE, scheme: str = "http") -> str:
        """Where a page is."""
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        """Answer nobody any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError), connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_side=True)
        reader = connection.makefile("rb")
        path = reader.readline().decode().split()[1]
        headers = dict[str, str]()
        while line := reader.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        self.asked.append((path, headers))
        status, more, body = self.pages[path]
        told = {"content-length": str(len(body)), "connection": "close", **more}
        head = "".join(f"{k}: {v}\r\n" for k, v in told.items())
        connection.sendall(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)
        connection.close()


@contextmanager
def sites(*addresses: str) -> Iterator[list[Site]]:
    """A site on each address, with one good page."""
    with ExitStack() as stack:
        made = [Site(each, {"/": (200, {}, b"good")}) for each in addresses]
        for each in made:
            stack.callback(each.close)
        yield made


def to(url: str, status: int = 302) -> tuple[int, dict[str, str], bytes]:
    """A redirect."""
    return status, {"location": url}, b""


def fetched(url: str, rules: Rules = RULES, **more: Any) -> bytes:
    """Fetch with our keys."""
    return asyncio.run(fetch(url, rules, headers=SECRETS, **more))


def test_the_operators_own_url_is_asked_wherever_it_is() -> None:
    """Loopback too, and its redirects to itself, with our keys (rule: contract)."""
    with sites(OPEN_HERE) as (home,):
        home.pages["/old"] = to("/new?b=1", 301)
        home.pages["/new?b=1"] = to(home.url("/"), 308)
        assert fetched(home.url("/old")) == b"good"
        assert [path for path, _ in home.asked] == ["/old", "/new?b=1", "/"]
        assert all(headers["x-api-key"] == "sk-up" for _, headers in home.asked)
        home.pages["/?a=1"] = (200, {}, b"queried")
        assert fetched(home.url(), query={"a": "1"}) == b"queried"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]"),
    ],
)
def test_a_redirect_into_our_network_is_refused(host: str, status: int) -> None:
    """However its address is written, as the system's resolver reads it; nobody connects there
    (rule: access).
    """
    with sites(OPEN_HERE, OPEN_HERE) as (home, inner):
        home.pages["/"] = to(inner.url(host=host), status)
        with pytest.raises((RedirectRefusedError, httpx.RemoteProtocolError)):
            fetched(home.url())
        assert inner.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "file:///etc/x"),
        *("gopher://127.0.0.1/", "//169.254.169.254/", "http://user:pw@127.0.0.1/", "http://"),
        *("http://x" + "a" * 9_000, "http://1.1.1.1\\@127.0.0.1/", "ftp://1.1.1.1/"),
    ],
)
def test_a_redirect_to_what_is_no_public_page_is_refused(location: str) -> None:
    """Metadata, other schemes, names and passwords, no host (rule: access)."""
    with sites(OPEN_HERE) as (home,):
        home.pages["/"] = to(location)
        with pytest.raises(RedirectRefusedError):
            fetched(home.url())


def test_a_name_that_means_another_address_a_moment_later_reaches_the_first() -> None:
    """The connection goes to the address that was checked; the name is asked once
    (rule: access).
    """
    resolver = Resolver([OPEN_HERE], [CLOSED_HERE])
    rules = RULES._replace(resolve=resolver, admits=here)
    with sites(OPEN_HERE, OPEN_HERE) as (home, outer):
        inner = Site(CLOSED_HERE, {"/": (200, {}, b"secret")})
        home.pages["/"] = to(outer.url(host="rebinding.example"))
        assert fetched(home.url(), rules) == b"good"
        assert resolver.asked == ["rebinding.example"]
        assert outer.asked[0][1]["host"] == f"rebinding.example:{outer.port}"
        home.pages["/"] = to(f"http://rebinding.example:{inner.port}/")
        with pytest.raises(RedirectRefusedError, match="no public address"):
            fetched(home.url(), rules)
        assert inner.connections == 0
        inner.close()


def test_each_redirect_is_checked_anew() -> None:
    """A public page that leads inwards; and back to where we began, which is no longer home
    (rule: access).
    """
    names = {"a.example": [OPEN_HERE], "b.example": [CLOSED_HERE], "c.example": []}

    async def resolver(host: str, _: int) -> list[str]:
        return names.get(host, [host])

    rules = RULES._replace(resolve=resolver, admits=here)
    with sites(CLOSED_HERE, OPEN_HERE, CLOSED_HERE) as (home, outer, inner):
        start = home.url(host=CLOSED_HERE)
        home.pages["/"] = to(outer.url("/on", host="a.example"))
        for target in (inner.url(host="b.example"), inner.url(host="c.example"), start + "admin"):
            outer.pages["/on"] = to(target)
            with pytest.raises(RedirectRefusedError):
                fetched(start, rules)
        assert inner.connections == 0
        assert {path for path, _ in home.asked} == {"/"}
        outer.pages["/on"] = to("/")
        assert fetched(start, rules) == b"good"


def test_one_address_of_several_is_enough_to_refuse() -> None:
    """A name with a public and a local address is local (rule: access)."""
    rules = RULES._replace(resolve=Resolver([OPEN_HERE, CLOSED_HERE]), admits=here)
    with sites(OPEN_HERE, OPEN_HERE) as (home, outer):
        home.pages["/"] = to(outer.url(host="both.example"))
        with pytest.raises(RedirectRefusedError):
            fetched(home.url(), rules)
        assert outer.connections == 0


def test_our_keys_stay_at_home() -> None:
    """Under whatever header they are sent; another port is another origin (rule: access)."""
    rules = RULES._replace(resolve=Resolver([OPEN_HERE]), admits=here)
    with sites(OPEN_HERE, OPEN_HERE) as (home, outer):
        home.pages["/"] = to(outer.url())
        assert fetched(home.url(), rules) == b"good"
        ((_, headers),) = outer.asked
        assert not headers.keys() & SECRETS.keys()
        assert "sk-up" not in str(headers)


def certificate(folder: Path, name: str) -> Path:
    """A key and a certificate of its own for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.test"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_a_pinned_connection_proves_the_name_not_the_address(tmp_path: Path) -> None:
    """By https the certificate is that of the name in the redirect (rule: access)."""
    rules = RULES._replace(resolve=Resolver([OPEN_HERE]), admits=here)
    file = certificate(tmp_path, "lists.example")
    trusted = ssl.create_default_context(cafile=str(file))
    with sites(OPEN_HERE, OPEN_HERE) as (home, outer):
        outer.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        outer.tls.load_cert_chain(file)
        home.pages["/"] = to(outer.url(host="lists.example", scheme="https"))
        assert fetched(home.url(), rules, tls=trusted) == b"good"
        home.pages["/"] = to(outer.url(host="other.example", scheme="https"))
        with pytest.raises(httpx.ConnectError):
            fetched(home.url(), rules, tls=trusted)
        home.pages["/"] = to(outer.url(host="lists.example", scheme="https"))
        outer.pages["/"] = to(home.url(host="lists.example"))
        with pytest.raises(RedirectRefusedError, match="from https to http"):
            fetched(home.url(), rules, tls=trusted)


def test_redirects_come_to_an_end() -> None:
    """A circle, too (rule: bounded)."""
    with sites(OPEN_HERE) as (home,):
        home.pages["/"] = to("/")
        with pytest.raises(RedirectRefusedError, match="redirects"):
            fetched(home.url())
        assert len(home.asked) == REDIRECTS_MAX + 1


def test_a_body_without_end_is_left(upstream: ScriptedUpstream) -> None:
    """Too many bytes, declared or not, and too many seconds (rule: bounded)."""
    with sites(OPEN_HERE) as (home,):
        home.pages["/"] = (200, {}, b"x" * 1_001)
        with pytest.raises(ReplyTooLargeError, match="larger than 1000 bytes"):
            fetched(home.url())
        home.pages["/"] = (200, {}, b"x" * 1_000)
        assert len(fetched(home.url())) == 1_000
    gone = threading.Event()

    def drip(connection: socket.socket, _: Any) -> str:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
        with suppress(OSError):
            while not gone.wait(0.05):
                connection.sendall(b"x")
        return "close"

    upstream.answer = drip
    with pytest.raises(httpx.ReadTimeout, match="not whole within"):
        fetched(upstream.base_url, RULES._replace(wait_s=1, total_s=0.4))
    gone.set()


def test_a_refusal_is_the_statuss() -> None:
    """As who asks for lists tells troubles apart (rule: contract)."""
    with sites(OPEN_HERE) as (home,):
        home.pages["/"] = (401, {}, b"")
        with pytest.raises(httpx.HTTPStatusError) as refused:
            fetched(home.url())
        assert refused.value.response.status_code == 401
