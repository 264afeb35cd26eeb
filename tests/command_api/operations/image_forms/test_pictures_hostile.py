"""Forms whose pictures are none, too many, too large, or come by halves: nothing is held."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_api.operations.image_forms.test_image_forms import (
    VARIATIONS,
    answer_with,
    images,
    made,
    png,
    post,
)
from tests.support.harness import RunningGateway, ScriptedUpstream, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

__all__ = ["images"]
ASK = {"model": "local/dall-e-2", "prompt": "A cat"}
CUT = png()[:30]
LIES = png()[:16] + struct.pack(">II", 0, 5) + png()[24:]


def file(data: bytes, name: str = "image") -> tuple[str, Any]:
    """A file of a form."""
    return name, ("a.png", data, "image/png")


@pytest.mark.parametrize(
    ("files", "code", "param"),
    [
        ([file(b"")], "invalid_form", "image"),
        ([file(b"x")], "invalid_image", "image"),
        ([file(b"<svg width='1' height='1'/>")], "invalid_image", "image"),
        ([file(b"RIFF\0\0\0\0WAVEfmt ")], "invalid_image", "image"),
        ([file(CUT)], "invalid_image", "image"),
        ([file(LIES)], "invalid_image", "image"),
        ([file(png(60_000, 60_000))], "invalid_image", "image"),
        ([file(png(2**31, 1))], "invalid_image", "image"),
        # So few pixels cannot be so many bytes.
        ([file(png(1, 1, more=bytes(400_000)))], "invalid_image", "image"),
        ([file(png()), file(b"x", "mask")], "invalid_image", "mask"),
        ([file(png()), file(b"", "mask")], "invalid_form", "mask"),
        ([file(png()), file(png(), "mask"), file(png(), "mask")], "invalid_form", "mask"),
        ([file(png(), "mask")], "invalid_form", "image"),
        ([file(png(), "picture")], "invalid_form", "picture"),
        # Each has a maximum of its own, under either name.
        ([file(png(), "image[]")] * 17, "invalid_form", "image[]"),
        ([file(png())] + [file(png(), "image[]")] * 16, "invalid_form", "image[]"),
        ([file(png(), "image[]")] * 16 + [file(png(), "mask")] * 2, "invalid_form", "mask"),
        ([("image", (None, png().decode("latin-1")))], "invalid_form", "image"),
    ],
)
def test_what_is_no_picture_is_refused(
    images: RunningGateway, files: list[Any], code: str, param: str
) -> None:
    """By its field, with nothing held and nothing sent (rule: refuse clearly)."""
    got, _ = post(images, ASK, files)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, code, param)
    assert (images.open_holds(), images.upstream.calls) == (0, 0)


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"prompt": " "}, "empty_prompt", "prompt"),
        ({"prompt": "a\0b"}, "invalid_text", None),
        ({"model": ""}, "missing_model", "model"),
        ({"model": ["a", "b"]}, "invalid_form", "model"),
        ({"model": "local/m"}, "operation_unpriced", "model"),
        ({"n": "0"}, "invalid_value", "n"),
        ({"n": "11"}, "invalid_value", "n"),
        ({"n": "-1"}, "invalid_value", "n"),
        ({"n": "1e1"}, "invalid_value", "n"),
        ({"n": "٣"}, "invalid_value", "n"),
        ({"n": "9" * 5_000}, "invalid_value", "n"),
        ({"size": "1x"}, "invalid_value", "size"),
        ({"size": "99999x99999"}, "invalid_value", "size"),
        ({"response_format": "gif"}, "invalid_value", "response_format"),
        ({"input_fidelity": "highest"}, "invalid_value", "input_fidelity"),
        ({"output_compression": "101"}, "invalid_value", "output_compression"),
        ({"stream": "perhaps"}, "invalid_value", "stream"),
        ({"stream": "true", "n": "2"}, "invalid_value", "n"),
        ({"partial_images": "3"}, "invalid_value", "partial_images"),
        ({"stream": "true", "partial_images": "4"}, "invalid_value", "partial_images"),
        ({"stream": "true", "partial_images": "-1"}, "invalid_value", "partial_images"),
        ({"stream": "true", "partial_images": "1"}, "extra_unpriced", "partial_images"),
        ({"quality": "high"}, "extra_unpriced", "quality"),
        ({"seed": "1"}, "invalid_form", "seed"),
    ],
)
def test_what_cannot_be_sold_is_refused(
    images: RunningGateway, more: dict[str, Any], code: str, param: str | None
) -> None:
    """By name, with nothing held (P10, rule: refuse clearly)."""
    got, _ = post(images, ASK | more)
    error = got.json()["error"]
    assert (got.status_code, error["code"], error["param"]) == (400, code, param)
    assert (images.open_holds(), images.upstream.calls) == (0, 0)


@pytest.mark.parametrize("missing", ["model", "prompt"])
def test_an_edit_names_its_model_and_says_what_it_wants(
    images: RunningGateway, missing: str
) -> None:
    """OpenAI's own default has changed more than once (rule: refuse clearly)."""
    got, _ = post(images, {name: value for name, value in ASK.items() if name != missing})
    assert (got.status_code, got.json()["error"]["param"]) == (400, missing)


def test_a_variation_has_one_picture_and_no_prompt(images: RunningGateway) -> None:
    """Nor a mask (rule: refuse clearly)."""
    for data, files in (
        ({"prompt": "A"}, [file(png())]),
        ({}, [file(png()), file(png())]),
        ({}, [file(png()), file(png(), "mask")]),
    ):
        got, _ = post(images, data, files, VARIATIONS)
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_form")


def test_a_variation_in_json_is_told_to_come_as_a_form(images: RunningGateway) -> None:
    """With no file there is nothing to vary (rule: refuse clearly)."""
    with images.client(images.user()) as client:
        got = client.post(VARIATIONS, json={**ASK, "images": [{"image_url": "https://x.test"}]})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_form")


JPEG = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, 4, 4, 3) + bytes(9)
JPEG += b"\xff\xda" + struct.pack(">H", 12) + bytes(10) + b"\x12\xff\0\x34" * 1_000 + b"\xff\xd9"
WEBP = b"RIFF" + struct.pack("<I", 60) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(48)


@pytest.mark.parametrize("whole", [png(more=b"x" * 9_000), JPEG, WEBP])
def test_a_picture_that_is_cut_off_is_refused(images: RunningGateway, whole: bytes) -> None:
    """Behind its head too; bytes behind its end are none of it (rule: refuse clearly)."""
    for cut in (whole[:-1], whole[: len(whole) // 2]):
        for files, param in (([file(cut)], "image"), ([file(whole), file(cut, "mask")], "mask")):
            got, _ = post(images, ASK, files)
            error = got.json()["error"]
            assert (got.status_code, error["code"], error["param"]) == (400, "invalid_image", param)
    assert (images.open_holds(), images.upstream.calls) == (0, 0)
    answer_with(images.upstream, made())
    got, _ = post(images, ASK, [file(whole + bytes(99))])
    assert got.status_code == 200


def test_pictures_that_are_too_large_are_refused(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, and all of a form together, by the field's name (rule: bounded)."""
    most = 300_000
    monkeypatch.setenv("GATEWAYZ_IMAGE_FILE_BYTES_MAX", str(most))
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        whole = png(1_000, 1_000, more=bytes(most - len(png())))
        fits = [file(whole, "image[]")] * 4
        data = {"model": "simulator/paint", "prompt": "A cat"}
        got, _ = post(gateway, data, fits)
        assert got.status_code == 200, got.text
        for files, param in (
            ([file(whole + b"x")], "image"),
            ([file(png()), file(whole + b"x", "mask")], "mask"),
            ([*fits, file(png(), "image[]")], "image"),
            ([file(whole, "image[]")] * 9, "image"),
        ):
            got, _ = post(gateway, data, files)
            assert (got.status_code, got.json()["error"]["param"]) == (413, param)
        assert gateway.open_holds() == 0
        gateway.verified()
