"""Errors of starting."""


class StartError(RuntimeError):
    """The server cannot start; the message says what to do."""
