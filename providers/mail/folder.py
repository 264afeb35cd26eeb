"""Mails as files, for where there is no one to carry them: the embedded default."""

from __future__ import annotations

import asyncio
import os
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from providers.mail.port import MailUnavailableError, message_of

if TYPE_CHECKING:
    from pathlib import Path

    from providers.mail.port import Mail

FILES_MAX = 1_000
"""Most mails that are kept in the folder; of more the oldest go."""


class FolderMailer:
    """Writes each mail to a file of its own, `*.eml`."""

    def __init__(self, folder: Path, sender: str) -> None:
        """The folder is made with the first mail."""
        self._folder, self._sender = folder, sender

    async def send(self, mail: Mail) -> None:
        """Write it whole or not at all; raises MailRefusedError or MailUnavailableError."""
        now = datetime.now(UTC)
        data = message_of(mail, self._sender, now).as_bytes()
        try:
            await asyncio.to_thread(self._write, f"{now:%Y%m%dT%H%M%S%f}", data)
        except OSError as error:
            message = f"the mail cannot be written: {error.strerror}"
            raise MailUnavailableError(message) from None

    async def close(self) -> None:
        """Nothing is open."""

    def _write(self, when: str, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / f"{when}-{secrets.token_hex(4)}.eml"
        unfinished = file.with_suffix(".part")
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
            f.write(data)
        unfinished.rename(file)
        for old in sorted(self._folder.glob("*.eml"))[:-FILES_MAX]:
            old.unlink(missing_ok=True)
