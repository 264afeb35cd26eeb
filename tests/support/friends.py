"""Friends who bring each other, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from command_api.identity.users import NewUser
from tests.support.harness import TIMEOUT_S
from tests.support.people import Person

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway


class Friend(Person):
    """A person at an address of the network of their own."""

    def __init__(self, gateway: RunningGateway, name: str, host: str) -> None:
        """`host` is what the proxy says of them."""
        super().__init__(gateway, f"{name}@example.com")
        self.name = name
        # No connection is kept, so that none is left open.
        self.client = httpx.Client(
            base_url=gateway.url,
            timeout=TIMEOUT_S,
            headers={"x-forwarded-for": host},
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self.user: NewUser

    def come(self, code: str | None = None, **more: Any) -> dict[str, Any]:
        """Register, perhaps by a code; from then on the client shows the key."""
        if code is not None:
            more["referral_code"] = code
        made = self.register(username=self.name, password=None, **more)
        self.user = NewUser(
            **{each: made[each] for each in ("user_id", "account_id", "key_id", "api_key")}
        )
        self.client.headers["authorization"] = f"Bearer {made['api_key']}"
        return made

    def code(self) -> str:
        """Their own code."""
        return str(self.get("code")["referral_code"])

    def get(self, what: str) -> dict[str, Any]:
        """GET below /referral."""
        got = self.client.get(f"/referral/{what}")
        assert got.status_code == 200, got.text
        found: dict[str, Any] = got.json()
        return found

    def credits(self) -> int:
        """What can be spent, nano-USD."""
        return int(self.gateway.balance(self.user)["available_nano_usd"])

    def subjects(self) -> list[str]:
        """Of the mails that came."""
        return [each["subject"] for each in self.mails()]


BEHIND: dict[str, Any] = {"trusted_proxies": "127.0.0.1"}
"""Settings with which the friends' addresses are believed."""


def friends(gateway: RunningGateway, count: int) -> list[Friend]:
    """So many, none of whom has come yet."""
    return [Friend(gateway, f"friend{n}", f"203.0.113.{n + 1}") for n in range(count)]
