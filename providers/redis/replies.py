"""Reading of Redis' protocol (RESP 2), as far as our commands are answered: no arrays."""

from __future__ import annotations

REPLY_BYTES_MAX = 65_536
_LINE_MAX = 1_024
_BULK, _ERROR = b"$-"


class RedisReplyError(Exception):
    """Redis refused a command; its first word is Redis' own code."""


class GarbledError(Exception):
    """What came is not Redis' protocol."""


Reply = bytes | None | RedisReplyError


class ReplyReader:
    """Cuts what arrives into replies."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        self._rest = b""

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now; raises GarbledError."""
        data = self._rest + data if self._rest else data
        found: list[Reply] = []
        begin = 0
        while begin < len(data):
            end = data.find(b"\r\n", begin)
            if end < 0:
                if len(data) - begin > _LINE_MAX:
                    raise GarbledError
                break
            kind, line = data[begin], data[begin + 1 : end]
            if kind == _BULK:
                size = _size(line)
                if size < 0:
                    found.append(None)
                    begin = end + 2
                    continue
                begin_next = end + 2 + size + 2
                if len(data) < begin_next:
                    break
                if data[begin_next - 2 : begin_next] != b"\r\n":
                    raise GarbledError
                found.append(data[end + 2 : end + 2 + size])
                begin = begin_next
                continue
            if kind in b"+:":
                found.append(line)
            elif kind == _ERROR:
                found.append(RedisReplyError(line.decode("utf-8", "replace")))
            else:
                raise GarbledError
            begin = end + 2
        self._rest = data[begin:]
        return found


def _size(line: bytes) -> int:
    try:
        size = int(line)
    except ValueError:
        raise GarbledError from None
    if size > REPLY_BYTES_MAX:
        raise GarbledError
    return size


def command(*parts: bytes | str | int) -> bytes:
    """A command as it is sent."""
    found = [b"*%d\r\n" % len(parts)]
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        found.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(found)
