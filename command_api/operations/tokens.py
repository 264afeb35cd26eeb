"""What is asked of a model that makes text: bounded, counted and judged by tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from command_api.operations.extras import priced_extras
from domain.ledger.holds import CallBound, output_bound
from domain.pricing.extras import LONG_CACHE
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import estimated_usage
from domain.pricing.uses import uses_paid

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import HoldSettings
    from domain.ledger.holds import PromptSize
    from domain.pricing.extras import Extra
    from domain.pricing.usage import Usage
    from domain.pricing.uses import Asked
    from providers.inference.registry.offers import Model


class TokenRequest(ABC):
    """A checked body whose prompt and output are tokens, whatever its form."""

    __slots__ = (
        *("choices", "include_usage", "max_tokens", "model", "raw", "routing", "stream"),
        *("_asked", "_extras", "_input_tokens", "_predicted", "_size", "_usage_tokens_max"),
        "_uses_max",
    )
    choices: int
    max_tokens: int | None
    stream: bool
    _size: PromptSize
    _extras: tuple[Extra, ...]
    _asked: Asked
    _uses_max: int
    """The most uses of one kind where the caller allows any number."""
    _predicted: int
    """Tokens of a prediction, which are output too where they are not used."""
    _usage_tokens_max: int
    _input_tokens: int | None
    maximum_named = "max_tokens"
    cheaper = "a shorter prompt, or fewer and smaller images and files"
    prompts: int = 1
    """Prompts of one body, each of which may fill the model's context."""

    def bound(self, model: Model, holds: HoldSettings) -> CallBound:
        """The most that this call can use at an offer (money rule 2)."""
        asked = self._asked
        output = output_bound(
            requested=self.max_tokens,
            choices=self.choices,
            default_tokens=holds.default_output_tokens,
            model_max_tokens=model.max_output_tokens,
        )
        return CallBound(
            input_tokens=self.input_bound(model),
            output_tokens=output.tokens + self._predicted * self.choices,
            extendable=output.extendable and self.stream,
            input_images=self._size.images,
            extras=priced_extras(self._extras, model) if self._extras else (),
            uses=asked.most_uses(model.price.uses, self._uses_max) if asked.uses else (),
            service_tiers=asked.tiers(model.price.service_tiers) if asked.tier else (),
        )

    def input_bound(self, model: Model) -> int:
        """The most input tokens that the call can be at an offer."""
        size = self._size
        if size.images or size.files:
            return size.tokens_bound(model.context_length, model.media)
        return size.tokens_bound(model.context_length)

    def estimated(self, output_tokens: int, offer: Model | None = None) -> Usage:
        """Our own count of the call, when the provider gave none (money rule 6).

        An image may be less at an offer than is usual: no more counts than was held for.
        """
        counted = self.estimated_input_tokens()
        if offer is not None and (self._size.images or self._size.files):
            counted = min(counted, self.input_bound(offer))
        return estimated_usage(input_tokens=counted, output_tokens=output_tokens)

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count (money rule 6).

        No report tells the images of the prompt: they are ours to count.
        """
        maxima = UsageMaxima.of(
            context_length=offer.context_length,
            max_output_tokens=offer.max_output_tokens,
            requested=None if self.max_tokens is None else self.max_tokens + self._predicted,
            unknown_tokens=self._usage_tokens_max,
            prompts=self.prompts,
            choices=self.choices,
        )
        told = report
        if report is not None and (report.uses or report.service_tier):
            report = report._replace(uses=(), service_tier="")  # What of it is paid follows.
        usage = believed(
            report,
            maxima,
            offer.price,
            made=made,
            estimate=lambda output_tokens: self.estimated(output_tokens, offer),
        )
        if self._asked.uses or self._asked.tier:
            usage = self._counted(usage, told, offer)
        if self._extras:
            usage = usage._replace(extras=priced_extras(self._extras, offer))
        if usage.cache_write_1h_tokens and LONG_CACHE.name not in usage.extras:
            usage = usage._replace(cache_write_1h_tokens=0)  # Nobody asked for an hour of it.
        return usage.with_input_images(self._size.images) if self._size.images else usage

    def _counted(self, usage: Usage, told: Usage | None, offer: Model) -> Usage:
        """A usage with the uses and the service tier that it pays, as its provider told them."""
        most = self._asked.most_uses(offer.price.uses, self._uses_max)
        counts = {} if told is None else dict(told.uses)
        tier = "" if told is None else told.service_tier
        return usage._replace(
            uses=uses_paid(most, counts),
            service_tier=self._asked.served(tier, offer.price.service_tiers),
        )

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt, for when the provider gives none (money rule 6)."""
        if self._input_tokens is None:
            self._input_tokens = self.counted_input_tokens()
        return self._input_tokens

    @abstractmethod
    def counted_input_tokens(self) -> int:
        """Count the prompt."""
