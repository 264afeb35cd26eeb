"""Errors the rules can raise.

DomainError
├── InvalidAmountError      a money amount that cannot be represented exactly
├── InvalidPriceError       a price that is missing, negative or not a decimal
├── InvalidTransitionError  an event that the life of a hold does not allow
└── InvalidCommandError     a command on a user or key that makes no sense now
    └── UnknownAccountError     a question about an account that nobody has

Those of keys alone stand in `domain/identity/api_keys.py`.
    ├── UnknownUserError    there is no such user
    ├── UnknownRoleError    there is no such role
    ├── OwnRoleError        nobody changes their own role
    └── LastAdminError      somebody has to be left who may change roles
"""

from __future__ import annotations


class DomainError(ValueError):
    """Base of all domain errors; `code` is stable and safe to show to a caller."""

    code = "domain_error"


class InvalidAmountError(DomainError):
    """The amount is negative, not a decimal, too large, or finer than one nano-USD."""

    code = "invalid_amount"


class InvalidPriceError(DomainError):
    """The price is missing, negative, or not a plain decimal."""

    code = "invalid_price"


class InvalidTransitionError(DomainError):
    """The event does not follow from the state of its stream."""

    code = "invalid_transition"


class InvalidCommandError(DomainError):
    """The command is refused in the current state of its aggregate."""

    code = "invalid_command"


class UnknownAccountError(InvalidCommandError):
    """No event of the log names the account."""


class UnknownUserError(InvalidCommandError):
    """There is no such user."""

    code = "unknown_user"


class UnknownRoleError(InvalidCommandError):
    """There is no such role; the message names those there are."""

    code = "unknown_role"


class OwnRoleError(InvalidCommandError):
    """Nobody changes their own role: an admin could not be held to it by another."""

    code = "own_role"


class LastAdminError(InvalidCommandError):
    """The last admin stays one, or nobody could change roles any more."""

    code = "last_admin"
