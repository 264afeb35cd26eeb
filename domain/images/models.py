"""Which model bills images and documents by which formula: one table, by what a model is called.

The names are those of canonical ids. What no row knows is held for at the most that any document
of an open model states; an operator may say of a model what it bills (docs/guides/providers.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from domain.images.formulas import Area, Crops, Dearest, Flat, Patches, Tiles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.images.formulas import Formula
    from domain.images.sizes import Picture

TOKENS_MAX = 10_000_000
"""No image or document is of more; an operator's larger figure is a mistake."""
PAGE_TEXT_TOKENS = 3_000
"""Text of a page: 1,500 to 3,000 tokens (Anthropic, "PDF support")."""
PAGES_MAX = 600
"""Most pages of a request at Claude's models of long context; at others 100 (Anthropic)."""
GEMINI_PAGES_MAX = 1_000
"""Most pages of a document (Google, "Document understanding")."""


@dataclass(frozen=True, slots=True)
class MediaRule:
    """What an image, and a document that is no plain text, can be at a model, in tokens."""

    image: Formula
    document: int

    def images(self, pictures: Iterable[Picture], others: int = 0) -> int:
        """The most tokens of these images, and of so many others of which nothing is known."""
        return sum(map(self.image.tokens, pictures)) + others * self.image.most


def paged(image: Formula) -> MediaRule:
    """Where each page is read as text and as an image of it."""
    return MediaRule(image, PAGES_MAX * (PAGE_TEXT_TOKENS + image.most))


class _Row(NamedTuple):
    names: re.Pattern[str]
    rule: MediaRule


def _row(names: str, rule: MediaRule) -> _Row:
    # Names of a provider, a maker or a fine-tuning stand before it, a route or a version after it.
    return _Row(re.compile(rf"(?:.*[/.])?(?:ft:)?(?:{names})(?:[:@].*)?"), rule)


OPENAI_TILES = paged(Tiles(85, 170))
OPENAI_PATCHES = Patches(32, 1_536)
ORIGINAL = 35_344
"""Patches of 6000 pixels each way, to which OpenAI shrinks images of original detail."""
CLAUDE = paged(Area(1_600))
CLAUDE_LARGE = paged(Area(4_784))
GEMINI_CROPS = Crops()
GEMINI_LEVELS = Flat(2_240)
"""The dearest level of `media_resolution` (Google, "Media resolution"); a page takes half of it."""
UNKNOWN_RULE = MediaRule(Flat(16_386), 100 * (PAGE_TEXT_TOKENS + 1_600))
"""An image of the most that open models read, Qwen's: 16,384 patches between two marks (Alibaba
Cloud, "Visual understanding", `vl_high_resolution_images`); a document of a hundred pages as
Claude reads them.
"""


def _openai_patches(percent: int, budget: int = 1_536, high: int = 0) -> MediaRule:
    return paged(Patches(32, budget, percent, high))


OPENAI_UNKNOWN = paged(Dearest((Tiles(85, 170), Patches(32, ORIGINAL, 246))))
ROWS = (
    # OpenAI, "Images and vision": tiles, a base and so much for each.
    _row(r"gpt-4o-mini.*", paged(Tiles(2_833, 5_667))),
    _row(r"(?:chat)?gpt-4o(?:-(?:latest|\d.*))?|gpt-4\.1(?:-\d.*)?", OPENAI_TILES),
    _row(r"gpt-4-turbo.*|gpt-4-vision.*|gpt-4\.5.*|gpt-4(?:-\d.*)?", OPENAI_TILES),
    _row(r"gpt-5(?:-chat.*|-20\d\d.*)?", paged(Tiles(70, 140))),
    _row(r"o1(?:-pro|-20.*|-pro-20.*)?|o3(?:-pro|-20.*|-pro-20.*)?", paged(Tiles(75, 150))),
    _row(r"computer-use-preview.*", paged(Tiles(65, 129))),
    # The same: patches, times a factor.
    _row(r"gpt-4\.1-mini.*|gpt-5-mini.*", _openai_patches(162)),
    _row(r"gpt-4\.1-nano.*|gpt-5-nano.*", _openai_patches(246)),
    _row(r"o4-mini(?:-20.*)?", _openai_patches(172)),
    _row(r"gpt-5\.[2-5](?:-pro|-chat.*)?(?:-20.*)?", _openai_patches(120, 10_000, 2_500)),
    _row(r"(?:chat)?gpt-.*|o\d.*|codex-.*", OPENAI_UNKNOWN),
    # Anthropic, "Images and vision": 1568 pixels and about 1,600 tokens, from Claude 4.7 on 4,784.
    _row(r"claude-[23](?:[.-].*)?", CLAUDE),
    _row(r"claude-(?:opus|sonnet|haiku)-4(?:[.-][0156])?(?:-20\d{6}.*|-latest)?", CLAUDE),
    _row(r"claude-.*", CLAUDE_LARGE),
    # Google, "Understand and count tokens", "Media resolution".
    _row(r"gemini-[12](?:[.-].*)?", MediaRule(GEMINI_CROPS, GEMINI_PAGES_MAX * GEMINI_CROPS.tile)),
    _row(
        r"gemini-.*",
        MediaRule(
            Dearest((GEMINI_CROPS, GEMINI_LEVELS)), GEMINI_PAGES_MAX * GEMINI_LEVELS.most // 2
        ),
    ),
    # xAI, "Image understanding": at most six tiles of 448 pixels and one of all, 256 tokens each.
    _row(r"grok-[234].*", paged(Flat(1_792))),
)


@lru_cache(maxsize=4_096)
def rule_of(name: str) -> MediaRule:
    """The rule of a model, by its canonical id or what it is billed like."""
    return next((row.rule for row in ROWS if row.names.fullmatch(name.lower())), UNKNOWN_RULE)


def stated_rule(rule: MediaRule, image: int | None, document: int | None) -> MediaRule:
    """A rule with what an operator states of it, in tokens; None is unstated."""
    return MediaRule(
        rule.image if image is None else Flat(image),
        rule.document if document is None else document,
    )
