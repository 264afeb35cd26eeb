"""What a caller is told where Stripe does not do what it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edge.errors import ApiError, bad_request, unavailable
from providers.payments.port import (
    NotThereError,
    OtherRequestError,
    PaymentRefusedError,
    PaymentsUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Words(NamedTuple):
    """How a refusal is told where this is asked."""

    what: str
    """What Stripe refuses."""
    missing: Callable[[NotThereError], ApiError]
    """The error where Stripe has no such object."""
    again: str
    """What is known, and what to do, where Stripe is away: sentences."""
    reused: str
    """The sentence of a key that is another request's."""


async def ask(asking: Awaitable[T], words: Words) -> T:
    """What Stripe gives; raises ApiError."""
    try:
        return await asking
    except OtherRequestError:
        raise ApiError(422, "idempotency_key_reused", words.reused) from None
    except NotThereError as error:
        raise words.missing(error) from None
    except PaymentRefusedError as error:
        message = f"Stripe refuses {words.what}: {error}"
        raise bad_request("payment_refused", message) from None
    except PaymentsUnavailableError as error:
        raise unavailable("payments_unavailable", f"{error}. {words.again}") from None


def unknown_payment(_: NotThereError) -> ApiError:
    """Of a payment that the log has, and Stripe has not."""
    return ApiError(404, "payment_not_found", "Stripe does not know this payment any more.")
