"""Edits and variations of images: held for their pictures' pixels, settled by the report."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.support.harness import RunningGateway, ScriptedUpstream, reply, running_gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from event_store.postgres.database import Database

MODELS = """
[[provider.model]]
id = "gpt-image-1"
input_per_million = "5"
image_input_per_million = "10"
output_per_million = "40"
output_modalities = ["image"]
[[provider.model]]
id = "dall-e-2"
per_image = "0.02"
[[provider.model]]
id = "sees"
per_image = "0.05"
per_input_image = "0.003"
[[provider]]
name = "fal"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "gpt-image-1"
per_image = "0.02"
[[provider]]
name = "second"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "dall-e-2"
per_image = "0.03"
"""
EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
TEXT, SEEN, MADE = 5_000, 10_000, 40_000
"""Nano-USD of a token of gpt-image-1."""
USAGE = {
    "input_tokens": 230,
    "input_tokens_details": {"text_tokens": 36, "image_tokens": 194},
    "output_tokens": 1_056,
    "total_tokens": 1_286,
}


def png(width: int = 1_024, height: int = 1_024, *, more: bytes = b"") -> bytes:
    """A picture whose pixels nobody looks at."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", b"x" + more)
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def images(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with models of both prices."""
    text = MODELS.format(base_url=upstream.base_url)
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


def answer_with(upstream: ScriptedUpstream, body: Any, status: int = 200) -> None:
    """Let the upstream answer so."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    upstream.answer = lambda connection, _: reply(connection, raw, status=status)


def made(count: int = 1, **more: Any) -> dict[str, Any]:
    """An answer of so many images."""
    return {"created": 1, "data": [{"b64_json": "aQ=="}] * count, **more}


def post(
    gateway: RunningGateway, data: dict[str, Any], files: Any = None, path: str = EDITS
) -> tuple[httpx.Response, dict[str, Any]]:
    """A call and its story."""
    user = gateway.user()
    files = [("image", ("a.png", png(), "image/png"))] if files is None else files
    with gateway.client(user) as client:
        got = client.post(path, data=data, files=files)
    return got, gateway.story(user, got) if got.status_code == 200 else {}


def test_pictures_are_held_for_by_their_pixels_and_settled_by_the_report(
    images: RunningGateway,
) -> None:
    """Text, pictures and images each at their price (money rule 1, money rule 2)."""
    answer_with(images.upstream, made(usage=USAGE))
    data = {"model": "local/gpt-image-1", "prompt": "A cat", "size": "1024x1024", "quality": "low"}
    got, story = post(images, data)
    cost = 36 * TEXT + 194 * SEEN + 1_056 * MADE
    assert story["settled_nano_usd"] == cost
    assert story["usage"]["image_input_tokens"] == 194
    assert got.json()["usage"]["input_tokens_details"]["image_tokens"] == 194
    assert got.json()["usage"]["cost"] == cost / 10**9
    # The prompt's bound, what providers add to it, and one tile: all at the dearer price.
    assert story["held_nano_usd"] == (11 + 64 + 194) * SEEN + 6_240 * MADE
    terms = {each["term"]: each.get("tokens") for each in story["arithmetic"]["terms"]}
    assert (terms["input"], terms["image_input"], terms["output"]) == (36, 194, 1_056)


def test_more_pixels_or_fidelity_hold_for_more(images: RunningGateway) -> None:
    """A strip is four tiles, a high fidelity 6,240 tokens more, a mask a picture (money rule 2)."""
    answer_with(images.upstream, made(usage=USAGE))
    data = {"model": "local/gpt-image-1", "prompt": "A cat"}
    _, plain = post(images, data)
    strip = [("image", ("a.png", png(8_000, 100), "image/png"))]
    _, long = post(images, data, strip)
    assert long["held_nano_usd"] - plain["held_nano_usd"] == 3 * 129 * SEEN
    _, high = post(images, data | {"input_fidelity": "high"}, strip)
    assert high["held_nano_usd"] - long["held_nano_usd"] == 6_240 * SEEN
    masked = [*strip, ("mask", ("m.png", png(8_000, 100), "image/png"))]
    _, mask = post(images, data, masked)
    assert mask["held_nano_usd"] - long["held_nano_usd"] == (65 + 4 * 129) * SEEN
    assert mask["usage"]["input_images"] == 1


def test_the_form_passes_with_each_picture_as_what_it_is(images: RunningGateway) -> None:
    """In their order, byte for byte, under the provider's own id of the model (rule: contract)."""
    answer_with(images.upstream, made(2, usage=USAGE))
    first, second, mask = png(10, 20), png(30, 40), png(10, 20, more=b"mask")
    files = [
        ("image[]", ("blob", first, "application/octet-stream")),
        ("mask", ("m", mask, "text/html")),
        ("image[]", ("b.png", second, "image/png")),
    ]
    data = {
        "prompt": "é",
        "model": "local/gpt-image-1",
        "n": "2",
        "size": "auto",
        "user": "u",
        "background": "transparent",
        "output_format": "webp",
        "output_compression": "80",
    }
    got, story = post(images, data, files)
    assert len(got.json()["data"]) == 2
    sent = images.upstream.requests[-1]
    assert sent.path == EDITS
    places = [sent.raw.index(each) for each in (first, mask, second)]
    assert places == sorted(places)
    assert sent.raw.count(b'name="image[]"') == 2
    assert sent.raw.count(b"Content-Type: image/png") == 3
    assert b'name="model"\r\n\r\ngpt-image-1\r\n' in sent.raw
    for name, value in data.items():
        if name != "model":
            assert f'name="{name}"\r\n\r\n{value}\r\n'.encode() in sent.raw
    assert story["usage"]["input_images"] == 2


@pytest.mark.parametrize(
    ("usage", "source"),
    [
        (None, "estimated"),
        ({**USAGE, "input_tokens_details": {"text_tokens": 1, "image_tokens": 231}}, "estimated"),
        ({**USAGE, "input_tokens_details": {"text_tokens": 1, "image_tokens": -1}}, "estimated"),
        ({**USAGE, "input_tokens_details": {"image_tokens": True}}, "estimated"),
        ({**USAGE, "input_tokens_details": {"image_tokens": 1.5}}, "estimated"),
        ({**USAGE, "input_tokens": -1}, "estimated"),
        ({**USAGE, "input_tokens": 10**12}, "estimated"),
        ({**USAGE, "output_tokens": 10**9}, "estimated"),
        ({**USAGE, "input_tokens_details": None}, "provider"),
        ({**USAGE, "input_tokens_details": "?"}, "provider"),
    ],
)
def test_a_report_that_cannot_be_is_not_believed(
    images: RunningGateway, usage: Any, source: str
) -> None:
    """Our own count: one tile, the prompt, an image of medium quality (money rule 6, P1)."""
    answer_with(images.upstream, made(usage=usage) if usage else made())
    _, story = post(images, {"model": "local/gpt-image-1", "prompt": "A cat!!!"})
    assert story["usage"]["source"] == source
    assert story["usage"]["image_input_tokens"] == 194
    text = 36 if source == "provider" else 2
    assert story["settled_nano_usd"] == text * TEXT + 194 * SEEN + 1_056 * MADE


def test_images_that_have_a_price_are_charged_by_the_piece(images: RunningGateway) -> None:
    """As generations are, and pictures where they have one (money rule 1)."""
    answer_with(images.upstream, made(3))
    data = {"model": "local/sees", "prompt": "A cat", "n": "2"}
    files = [("image[]", ("a.png", png(), "image/png"))] * 3
    _, story = post(images, data, files)
    assert story["settled_nano_usd"] == 2 * 50_000_000 + 3 * 3_000_000
    assert story["held_nano_usd"] == story["settled_nano_usd"]
    got, _ = post(images, {**data, "input_fidelity": "high"}, files)
    assert got.json()["error"]["code"] == "extra_unpriced"
    assert got.json()["error"]["param"] == "input_fidelity"


def test_a_variation_is_dall_e_2s_unless_it_names_another(images: RunningGateway) -> None:
    """No prompt, one picture; the price of an image (rule: contract, money rule 1)."""
    answer_with(images.upstream, made(2))
    got, story = post(images, {"n": "2", "size": "256x256"}, path=VARIATIONS)
    assert len(got.json()["data"]) == 2
    assert (story["settled_nano_usd"], story["model"]) == (40_000_000, "dall-e-2")
    sent = images.upstream.requests[-1]
    assert sent.path == VARIATIONS
    assert b'name="model"\r\n\r\ndall-e-2\r\n' in sent.raw


def test_the_next_offer_gets_the_pictures_again(images: RunningGateway) -> None:
    """They wait on the disk until somebody has answered; one charge (P3)."""
    answers = [(500, b"{}"), (200, json.dumps(made()).encode())]

    def answer(connection: socket.socket, _: Any) -> None:
        status, body = answers.pop(0)
        reply(connection, body, status=status)

    images.upstream.answer = answer
    _, story = post(images, {"model": "dall-e-2"}, path=VARIATIONS)
    assert [each["status"] for each in story["attempts"]] == [500, 200]
    assert all(each.raw.count(png()) == 1 for each in images.upstream.requests[-2:])
    assert (story["held_nano_usd"], story["settled_nano_usd"]) == (30_000_000, 30_000_000)


def test_a_provider_that_takes_no_forms_is_passed_over(images: RunningGateway) -> None:
    """By name where it is the only one, with nothing charged (P10)."""
    answer_with(images.upstream, made())
    got, _ = post(images, {"model": "fal/gpt-image-1", "prompt": "A cat"})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "unsupported_by_provider")
    assert (images.open_holds(), images.upstream.calls) == (0, 0)


def test_a_key_is_answered_once(images: RunningGateway) -> None:
    """The same form again is the first answer; another picture is refused (P3)."""
    answer_with(images.upstream, made())
    user = images.user()
    data = {"model": "local/dall-e-2", "prompt": "A cat"}
    with images.client(user, **{"Idempotency-Key": "k"}) as client:
        first, again, other = (
            client.post(EDITS, data=data, files={"image": ("a.png", png(side, side))})
            for side in (64, 64, 65)
        )
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, images.upstream.calls) == (422, 1)


def test_a_failed_provider_charges_nothing(images: RunningGateway) -> None:
    """An error that came with 200, or no image, voids the call (money rule 3)."""
    bodies: tuple[Any, ...] = ({"error": {"message": "no"}}, {"data": []}, {"data": 1}, b"", b"[]")
    for body in bodies:
        answer_with(images.upstream, body)
        got, _ = post(images, {"model": "local/dall-e-2", "prompt": "A cat"})
        assert got.status_code >= 400
    assert images.open_holds() == 0


# The client warns of forms of its own calls that it will give up; they are still sent.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_openais_own_client(images: RunningGateway, tmp_path: Path) -> None:
    """A path, an open file and bytes, one or several, a mask (rule: contract)."""
    user = images.user()
    client = openai.OpenAI(base_url=f"{images.url}/v1", api_key=user.api_key, max_retries=0)
    (path := tmp_path / "a.png").write_bytes(png())
    with path.open("rb") as opened:
        several: Any = [path, ("b.png", png())]
        for image in (path, opened, io.BytesIO(png()), png(), several):
            got = client.images.edit(model="simulator/paint", image=image, prompt="A cat", n=2)
            assert got.data is not None
            assert [bool(each.b64_json) for each in got.data] == [True, True]
            assert got.usage is not None
            pictures = 2 if isinstance(image, list) else 1
            assert got.usage.input_tokens_details.image_tokens == pictures * 194
    masked = client.images.edit(
        model="simulator/paint",
        image=path,
        mask=path,
        prompt="A cat",
        input_fidelity="low",
        size="1024x1024",
        extra_headers={"Idempotency-Key": "m"},
    )
    assert masked.created
    varied = client.images.create_variation(model="simulator/paint", image=path, n=3)
    assert varied.data is not None
    assert len(varied.data) == 3
    with pytest.raises(openai.BadRequestError, match="no price for images"):
        client.images.edit(model="simulator/echo", image=path, prompt="A")
