"""Edits with a JSON body: pictures as data URLs and addresses, held and charged as in a form."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.operations.image_forms.conftest import EDIT, completed, stream_with, told
from tests.command_api.operations.image_forms.test_image_forms import (
    EDITS,
    MADE,
    SEEN,
    TEXT,
    USAGE,
    answer_with,
    images,
    made,
    png,
)

if TYPE_CHECKING:
    import httpx

    from tests.support.harness import RunningGateway

__all__ = ["images"]
COST = 36 * TEXT + 194 * SEEN + 1_056 * MADE
ADDRESS = "https://pictures.test/a.png?signed=1"


def url(data: bytes, kind: str = "image/png") -> str:
    """A data URL."""
    return f"data:{kind};base64,{b64encode(data).decode()}"


def given(*urls: str) -> list[dict[str, str]]:
    """References to pictures."""
    return [{"image_url": each} for each in urls]


ONE = given(url(png()))


def edit(gateway: RunningGateway, **more: Any) -> tuple[httpx.Response, dict[str, Any]]:
    """A call, and its story."""
    user = gateway.user()
    body = {"model": "local/gpt-image-1", "prompt": "A cat", "images": ONE, **more}
    with gateway.client(user) as client:
        got = client.post(EDITS, json=body)
    return got, gateway.story(user, got) if got.status_code == 200 else {}


def test_a_body_passes_as_it_is_and_is_charged_as_a_form(images: RunningGateway) -> None:
    """Held for its pictures' pixels, settled by the report (money rule 1, money rule 2)."""
    answer_with(images.upstream, {**made(usage=USAGE), "size": "1024x1024"})
    more = {"output_format": "webp", "output_compression": 80, "quality": "low"}
    got, story = edit(images, **more)
    sent = images.upstream.requests[-1]
    assert sent.path == EDITS
    assert sent.headers["content-type"] == "application/json"
    assert sent.body == {"model": "gpt-image-1", "prompt": "A cat", "images": ONE, **more}
    assert got.json()["usage"]["cost"] == COST / 10**9
    assert story["settled_nano_usd"] == COST
    assert story["held_nano_usd"] == (11 + 64 + 194) * SEEN + 6_240 * MADE
    assert story["usage"]["input_images"] == 1


def test_an_address_is_held_for_at_the_most(images: RunningGateway) -> None:
    """Nobody here knows how large its picture is (money rule 2)."""
    answer_with(images.upstream, made(usage=USAGE))
    _, story = edit(images, images=given(ADDRESS), mask={"image_url": url(png())})
    strip = 65 + 4 * 129
    assert story["held_nano_usd"] == (11 + 64 + strip + 194) * SEEN + 6_240 * MADE
    _, high = edit(images, images=given(ADDRESS), input_fidelity="high")
    assert high["held_nano_usd"] == (11 + 64 + strip + 6_240) * SEEN + 6_240 * MADE


def test_a_stream_of_a_body(images: RunningGateway) -> None:
    """Its events are an edit's (rule: contract)."""
    stream_with(images, completed(EDIT, usage=USAGE))
    got, story = edit(images, stream=True, partial_images=1)
    assert told(got.content)[-1]["usage"] == {**USAGE, "cost": COST / 10**9}
    assert story["settled_nano_usd"] == COST
    assert story["held_nano_usd"] == (11 + 64 + 194) * SEEN + 6_340 * MADE


def test_a_picture_that_has_a_price_is_charged(images: RunningGateway) -> None:
    """Each that is given, and each that is made (money rule 1)."""
    answer_with(images.upstream, made(2))
    _, story = edit(images, model="local/sees", n=2, images=ONE + given(ADDRESS))
    assert story["settled_nano_usd"] == 2 * 50_000_000 + 2 * 3_000_000


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"images": []}, "invalid_value", "images"),
        ({"images": ONE * 17}, "invalid_value", "images"),
        ({"images": None}, "invalid_type", "images"),
        ({"images": "x"}, "invalid_type", "images"),
        ({"images": [7]}, "invalid_type", "images[0]"),
        ({"images": [{}]}, "missing_required_parameter", "images[0].image_url"),
        ({"images": [{"file_id": "file-1"}]}, "invalid_value", "images[0].file_id"),
        (
            {"images": [{"image_url": ADDRESS, "file_id": "file-1"}]},
            "invalid_value",
            "images[0].file_id",
        ),
        ({"images": [{"image_url": ADDRESS, "detail": "high"}]}, "invalid_type", "images[0]"),
        ({"images": [*ONE, *given("file:///etc/passwd")]}, "invalid_value", "images[1].image_url"),
        ({"images": given("ftp://x.test/a")}, "invalid_value", "images[0].image_url"),
        ({"images": given("https://")}, "invalid_value", "images[0].image_url"),
        ({"images": given("https://x.test/a b")}, "invalid_value", "images[0].image_url"),
        (
            {"images": given("https://x.test/" + "a" * 9_000)},
            "invalid_value",
            "images[0].image_url",
        ),
        ({"images": given("")}, "invalid_value", "images[0].image_url"),
        ({"images": given("data:image/png,abc")}, "invalid_value", "images[0].image_url"),
        ({"images": given("data:text/html;base64,YQ==")}, "invalid_value", "images[0].image_url"),
        ({"images": given("data:image/png;base64,")}, "invalid_image", "images[0].image_url"),
        ({"images": given("data:image/png;base64,!")}, "invalid_image", "images[0].image_url"),
        ({"images": given(url(png()) + "=")}, "invalid_image", "images[0].image_url"),
        ({"images": given(url(b"x"))}, "invalid_image", "images[0].image_url"),
        ({"images": given(url(png()[:-4]))}, "invalid_image", "images[0].image_url"),
        ({"images": given(url(png(60_000, 60_000)))}, "invalid_image", "images[0].image_url"),
        ({"mask": {"image_url": url(png()[:40])}}, "invalid_image", "mask.image_url"),
        ({"mask": {"file_id": "file-1"}}, "invalid_value", "mask.file_id"),
        ({"mask": ONE}, "invalid_type", "mask"),
        ({"image": url(png())}, "invalid_value", "image"),
        ({"image[]": [url(png())]}, "invalid_value", "image[]"),
        ({"prompt": " "}, "empty_prompt", "prompt"),
        ({"model": ""}, "missing_model", "model"),
        ({"n": 11}, "invalid_value", "n"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"size": "99999x99999"}, "invalid_value", "size"),
        ({"input_fidelity": "highest"}, "invalid_value", "input_fidelity"),
        ({"output_compression": -1}, "invalid_value", "output_compression"),
        ({"output_compression": 101}, "invalid_value", "output_compression"),
        ({"stream": True, "n": 2}, "invalid_value", "n"),
        ({"partial_images": 1}, "invalid_value", "partial_images"),
        ({"model": "local/sees", "input_fidelity": "high"}, "extra_unpriced", "input_fidelity"),
        ({"model": "fal/gpt-image-1"}, "unsupported_by_provider", None),
    ],
)
def test_what_cannot_be_edited_is_refused(
    images: RunningGateway, more: dict[str, Any], code: str, param: str | None
) -> None:
    """By its place, with nothing held and nothing sent (P10, rule: refuse clearly)."""
    got, _ = edit(images, **more)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, code, param)
    assert (images.open_holds(), images.upstream.calls) == (0, 0)


def test_a_body_that_is_too_large_is_refused(images: RunningGateway) -> None:
    """A form takes what JSON does not (rule: bounded)."""
    most = images.settings.requests.body_bytes_max
    got, _ = edit(images, images=given(url(png(4_000, 4_000, more=bytes(most)))))
    assert got.status_code == 413


def test_a_key_is_answered_once(images: RunningGateway) -> None:
    """The same body again is the first answer; another picture is refused (P3)."""
    answer_with(images.upstream, made(usage=USAGE))
    user = images.user()
    body = {"model": "local/gpt-image-1", "prompt": "A cat"}
    with images.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again, other = (
            client.post(EDITS, json={**body, "images": given(url(png(side, side)))})
            for side in (64, 64, 65)
        )
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, images.upstream.calls) == (422, 1)


def test_the_simulator_takes_a_body(images: RunningGateway) -> None:
    """Whole, and as a stream (rule: contract)."""
    got, story = edit(images, model="simulator/paint", n=2)
    assert len(got.json()["data"]) == 2
    assert story["usage"]["image_input_tokens"] == 194
    got, _ = edit(images, model="simulator/paint", stream=True, partial_images=3)
    assert got.status_code == 200, got.text
    assert [each["type"] for each in told(got.content)] == [
        *["image_edit.partial_image"] * 3,
        "image_edit.completed",
    ]
