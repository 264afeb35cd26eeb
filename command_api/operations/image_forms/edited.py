"""What an edit costs, however its pictures come: by their pixels, their number, a fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.operations.images import ImagesBody, ImagesRequest
from domain.images.edits import OVERHEAD_TOKENS, EditTiles, edit_tokens
from domain.pricing.extras import image_extra
from domain.pricing.usage import UNREADABLE

if TYPE_CHECKING:
    from command_api.settings.calls import HoldSettings, RequestSettings
    from domain.images.sizes import Picture
    from domain.ledger.holds import CallBound
    from domain.pricing.extras import Extra
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model

COMPRESSION_MAX = 100
_USUAL = EditTiles(high=False)
"""Our own count of a picture, where nobody tells another."""


class EditRequest(ImagesRequest):
    """A checked request for images that are made of pictures."""

    def __init__(
        self,
        raw: bytes,
        body: ImagesBody,
        images: tuple[Picture, ...],
        masks: tuple[Picture, ...],
        limits: RequestSettings,
    ) -> None:
        """Take over what was checked; the pictures' details are the fidelity that is asked for."""
        super().__init__(raw, body, limits)
        self._pictures = images + masks
        self._images_given = len(images)
        self._counted = sum(map(_USUAL.tokens, images))
        self._fidelity = image_extra("input_fidelity", images[0].detail)

    def extras_at(self, offer: Model) -> tuple[Extra, ...]:
        """Where images have a price, a high fidelity costs beside it; else it is in the tokens."""
        more = self._fidelity if offer.price.counts_images else ()
        return super().extras_at(offer) + more

    def bound(self, model: Model, holds: HoldSettings) -> CallBound:
        """What the images that are made can cost, and the pictures by their pixels (rule 2)."""
        bound = super().bound(model, holds)._replace(input_images=self._images_given)
        if not model.price.counts_tokens:
            return bound
        media = model.media.image
        if model.facts.image_tokens_max is None:
            name = model.facts.images_as or model.canonical or model.id
            seen = edit_tokens(name, media, self._pictures)
        else:
            seen = sum(map(media.tokens, self._pictures))  # The operator says so.
        most = bound.input_tokens + OVERHEAD_TOKENS + seen
        known = model.context_length
        return bound._replace(input_tokens=most if known is None else min(most, known))

    def read_report(self, told: Any) -> Usage | None:
        """The provider's report, and how much of its input were pictures.

        Where it does not tell, they are our own count; what cannot be is a report that cannot be.
        """
        report = super().read_report(told)
        if report is None or report is UNREADABLE:
            return report
        details = told.get("input_tokens_details") if isinstance(told, dict) else None
        images = details.get("image_tokens") if isinstance(details, dict) else None
        if images is None:
            return report._replace(image_input_tokens=min(self._counted, report.input_tokens))
        if type(images) is not int or not 0 <= images <= report.input_tokens:
            return UNREADABLE
        return report._replace(image_input_tokens=images)

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt and of the pictures."""
        return super().estimated_input_tokens() + self._counted

    def estimated(self, made: int) -> Usage:
        """Our own count of so much, made of these pictures."""
        return super().estimated(made)._replace(image_input_tokens=self._counted)

    def _with_images(self, usage: Usage, images: int, pixels: int) -> Usage:
        """The images that came, and those that were given."""
        return super()._with_images(usage, images, pixels).with_input_images(self._images_given)
