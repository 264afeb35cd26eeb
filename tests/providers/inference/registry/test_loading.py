"""The registry is made of the built-in providers, the environment and the providers file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain.catalog import ModelFacts
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.registry.loading import load_registry
from providers.inference.registry.providers_file import ProvidersFileError
from tests.providers.inference.asking import MODEL, NOW, load

if TYPE_CHECKING:
    from pathlib import Path


def test_the_simulator_is_always_there() -> None:
    """So that everything can be tried without a key (rule: two commands)."""
    registry = load(None)
    model = registry.resolve("simulator/echo")
    assert model is not None
    assert model.price.terms.as_strings() == {
        "input_per_million": "0.15",
        "output_per_million": "0.60",
    }
    assert registry.resolve("echo") is model


def test_a_built_in_needs_a_key_and_may_be_overridden(tmp_path: Path) -> None:
    """Without a key it is unconfigured; environment and file name another base URL (P10)."""
    assert "openrouter" not in load(None).providers
    from_environment = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL="http://x/v1/")
    assert from_environment.providers["openrouter"].base_url == "http://x/v1"
    text = f'[[provider]]\nname = "openrouter"\nbase_url = "http://y/v1"\napi_key = "k"\n{MODEL}'
    from_file = load(tmp_path / "p.toml", text, OPENROUTER_API_KEY="k")
    assert from_file.providers["openrouter"].base_url == "http://y/v1"
    assert from_file.resolve("openrouter/m") is not None
    assert (
        load(None, OPENROUTER_API_KEY="k")
        .providers["openrouter"]
        .base_url.startswith("https://openrouter.ai/")
    )


def test_which_models_complete_a_bare_prompt(tmp_path: Path) -> None:
    """By the table, or as the file says; nobody who speaks another protocol (rule: translation)."""
    keys = {f"{name}_API_KEY": "k" for name in ("OPENAI", "TOGETHER", "GROQ", "ANTHROPIC")}
    known = load(None, **keys).providers
    takes = known["openai"].takes_completions
    for model in ("gpt-3.5-turbo-instruct-0914", "davinci-002", "ft:babbage-002:org::id"):
        assert takes(model)
    for model in ("gpt-4o", "gpt-3.5-turbo", "ft:gpt-4o:org::id", ""):
        assert not takes(model)
    assert known["together"].takes_completions("any/model")
    assert not known["groq"].takes_completions("m")
    assert not known["anthropic"].takes_completions("m")
    entry = '[[provider]]\nname = "{0}"\nbase_url = "http://y/v1"\n{1}\n' + MODEL
    said = [
        ("vllm", "completions = true", True),
        ("other", "", False),
        ("together", "completions = false", False),
        ("openai", "completions = true", True),
        ("near", 'protocol = "anthropic"\ncompletions = true', True),
        ("claudes", 'protocol = "anthropic"\ncompletions = true', False),
    ]
    text = "".join(entry.format(name, more) for name, more, _ in said)
    made = load(tmp_path / "p.toml", text, **keys).providers
    assert [made[name].takes_completions("m") for name, _, _ in said] == [x for *_, x in said]


def test_what_an_image_costs_is_the_models_or_as_the_file_says(tmp_path: Path) -> None:
    """By its name, as another model, or by a stated maximum (money rule 2)."""
    entry = f'[[provider]]\nname = "a"\nbase_url = "http://x/v1"\n{MODEL}\n'
    for line, image, document in (
        ("", 16_386, 460_000),
        ('images_as = "openai/gpt-4o-mini"', 48_169, 600 * 51_169),
        ('images_as = "gpt-4o"\nimage_tokens_max = 7', 7, 600 * 4_445),
        ("image_tokens_max = 7\ndocument_tokens_max = 9", 7, 9),
    ):
        model = load(tmp_path / "p.toml", entry + line).providers["a"].models["m"]
        assert (model.media.image.most, model.media.document) == (image, document)
        assert ModelFacts.of(model.facts.as_dict()) == model.facts


WRONG = [
    ("not toml [", "line 1"),
    ('[[provider]]\nname = "a"\n' + MODEL, "base_url"),
    ('[[provider]]\nname = "a"\nbase_url = "ftp://x"\n' + MODEL, "http"),
    ('[[provider]]\nname = "a/b"\nbase_url = "http://x"\n' + MODEL, "slash"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\nprice = 1\n', "price"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\n' + MODEL.replace('"1"', "1.0"), "decimal"),
    ('[[provider]]\nname = "a"\nbase_url = "http://x"\n' + MODEL.replace('"1"', '"x"'), "'m'"),
    (
        '[[provider]]\nname = "a"\nbase_url = "http://x"\n[[provider.model]]\nid = "m"\n',
        "input_per_million",
    ),
    *(
        (f'[[provider]]\nname = "a"\nbase_url = "http://x"\n{MODEL}\n{line}', named)
        for line, named in (
            ('images_as = "llama"', "images_as is 'llama': no model is known"),
            ("images_as = 7", "images_as is 7"),
            ("image_tokens_max = 0", "a whole number above 0, at most 10000000"),
            ("image_tokens_max = true", "image_tokens_max is True"),
            ("document_tokens_max = 10000001", "a whole number above 0, at most 10000000"),
            ('document_tokens_max = "9"', "document_tokens_max is '9'"),
        )
    ),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_a_wrong_file_stops_the_start_and_names_the_place(
    tmp_path: Path, text: str, named: str
) -> None:
    """Never a guessed price; a missing file is told too (P10)."""
    with pytest.raises(ProvidersFileError, match=named):
        load(tmp_path / "p.toml", text)
    with pytest.raises(ProvidersFileError, match="does not exist"):
        load_registry(
            environment={},
            providers_file=tmp_path / "none.toml",
            effective_at=NOW,
            limits=ClientLimits(),
        )


def test_the_same_price_has_the_same_version(tmp_path: Path) -> None:
    """Restarts change no version; another price does (money rule 12)."""
    text = f'[[provider]]\nname = "a"\nbase_url = "http://a/v1"\n{MODEL}'
    versions = []
    for body in (text, text, text.replace('"2"', '"3"')):
        model = load(tmp_path / "p.toml", body).resolve("a/m")
        assert model is not None
        versions.append(model.price.version)
    assert versions[0] == versions[1] != versions[2]
