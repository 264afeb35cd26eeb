"""What a body says of its images, as it stands in JSON."""

from __future__ import annotations

import msgspec
import pytest

from command_api.operations.chat import parse_chat
from domain.images.sizes import HEAD_CHARACTERS, Picture
from tests.command_api.calls.test_images_of_prompts import png
from tests.command_api.operations.test_chat import SETTINGS

START = "data:image/png;base64,"
LONG = png(40, 30) + "A" * 2 * HEAD_CHARACTERS


def pictures(image: str) -> tuple[Picture, ...]:
    """What is known of a chat's one image, whose object is written so."""
    part = f'{{"type": "image_url", "image_url": {image}}}'
    raw = f'{{"model": "m", "messages": [{{"role": "user", "content": [{part}]}}]}}'
    size = parse_chat(raw.encode(), SETTINGS.requests).prompt_size()
    assert size.images == 1
    return size.pictures


WRITTEN: list[tuple[str, tuple[Picture, ...]]] = [
    (f'{{"url": "{START}{png(40, 30)}"}}', (Picture(40, 30),)),
    (f'{{"detail": "low", "url": "{START}{png(40, 30)}"}}', (Picture(40, 30, "low"),)),
    # Escapes are other ways to write the same text.
    (f'{{"url": "data:image\\/png;base64,{png(40, 30)}"}}', (Picture(40, 30),)),
    (f'{{"\\u0075rl": "\\u0064ata:image/png;base64,{png(40, 30)}"}}', (Picture(40, 30),)),
    # What follows the head is counted, not read: so few pixels are not so many bytes.
    (f'{{"url": "{START}{LONG}"}}', ()),
    (f'{{"url": "data:image\\/png;base64,{LONG}"}}', ()),
    # Of what stands twice, or beside, nobody knows which of them is read.
    (f'{{"url": "https://x.test/{"a" * 300}", "url": "{START}{png(40, 30)}"}}', ()),
    (f'{{"url": "{START}{png(40, 30)}", "file": "{"a" * 300}"}}', ()),
    ('{"url": "é"}', ()),
    ('{"url": ""}', ()),
    ('{"url": ["a"]}', ()),
    ('{"url": null, "detail": "low"}', ()),
    ('{"url": "a", "detail": ["low"]}', ()),
    ('{"url": "a", "detail": "auto"}', ()),
    ('{"url": "a", "detail": "high"}', (Picture(detail="high"),)),
    ("[]", ()),
    ('"a"', ()),
]


@pytest.mark.parametrize(("image", "known"), WRITTEN)
def test_a_size_is_known_where_every_reader_finds_the_same(
    image: str, known: tuple[Picture, ...]
) -> None:
    """However the body is written; of all else the most is held (money rule 2)."""
    assert pictures(image) == known


def test_a_large_image_has_its_size() -> None:
    """Its head is read, however long the rest is (money rule 2)."""
    data = png(2_000, 1_000) + "A" * 5_000_000
    assert pictures(f'{{"url": "{START}{data}"}}') == (Picture(2_000, 1_000),)
    whole = msgspec.json.encode({"url": f"data:image/png;base64,{data}"}).decode()
    assert pictures(whole.replace("/", "\\/")) == (Picture(2_000, 1_000),)
