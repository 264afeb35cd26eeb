"""A person at a gateway: registers, reads mails, signs in."""

from __future__ import annotations

import email
import re
from email import policy
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.harness import TIMEOUT_S, eventually

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

PASSWORD = "correct horse battery"
NEW_PASSWORD = "another long battery"


class Person:
    """One address, and what its owner has got so far."""

    def __init__(self, gateway: RunningGateway, address: str = "ann@example.com") -> None:
        self.gateway, self.address = gateway, address
        self.client = httpx.Client(base_url=gateway.url, timeout=TIMEOUT_S)
        self.tokens: dict[str, Any] = {}

    def post(self, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        """Send a body; the answer, whose status must be this."""
        found = self.client.post(path, json=body)
        assert found.status_code == status, found.text
        answer: dict[str, Any] = found.json()
        return answer

    def register(self, status: int = 200, **more: Any) -> dict[str, Any]:
        """POST /auth/register."""
        wanted = {"email": self.address, "username": "ann", "password": PASSWORD, **more}
        return self.post("/auth/register", status, **wanted)

    def login(self, status: int = 200, password: str = PASSWORD) -> dict[str, Any]:
        """POST /auth/login; from then on the client shows the access token."""
        answer = self.post("/auth/login", status, email=self.address, password=password)
        if status == 200:
            self.tokens = answer
            self.client.headers["authorization"] = f"Bearer {answer['access_token']}"
        return answer

    def mails(self) -> list[Any]:
        """What came to the address, oldest first."""
        found = []
        for file in sorted((self.gateway.settings.installation.home / "mail").glob("*.eml")):
            mail = email.message_from_bytes(file.read_bytes(), policy=policy.default)
            if mail["to"] == self.address:
                found.append(mail)
        return found

    def token(self, subject: str) -> str:
        """The token of the newest mail of this subject, once it has come."""

        def bodies() -> list[str]:
            return [each.get_content() for each in self.mails() if subject in each["subject"]]

        eventually(lambda: bool(bodies()))
        text = bodies()[-1]
        found = re.search(r"(?:^|[?]token=)([A-Za-z0-9_-]{43})\r?$", text, re.MULTILINE)
        assert found, text
        return found[1]

    def profile_status(self) -> int:
        """Whether the access token opens the account's routes."""
        return self.client.get("/user/balance").status_code

    def leave(self, key: str) -> None:
        """DELETE /user/account, with a key; the client is closed then."""
        body = {"confirmation": "DELETE_ACCOUNT"}
        headers = {"authorization": f"Bearer {key}"}
        found = self.client.request("DELETE", "/user/account", json=body, headers=headers)
        self.client.close()
        assert found.status_code == 200, found.text
