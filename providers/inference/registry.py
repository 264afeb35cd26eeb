"""Which providers there are, which models they offer, and at what price.

Built-in providers are entries of one table; `GATEWAYZ_PROVIDERS_FILE` (TOML) adds providers,
overrides base URLs, and adds or prices models. A model without a price is never offered (P10).
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from domain.errors import InvalidPriceError
from domain.pricing import PriceTerms, PriceVersion
from providers.inference.http_client import ClientLimits, HttpUpstream
from providers.inference.simulator import CREATED, Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.inference.port import Upstream

MODELS_MAX = 20_000
FILE_SOURCE = "providers_file"


class ProvidersFileError(ValueError):
    """The providers file is wrong; the message names the place and the cure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model at one provider. `id` is the provider's own; lengths are in tokens."""

    id: str
    provider: str
    price: PriceVersion
    context_length: int | None = None
    max_output_tokens: int | None = None
    created: int = CREATED

    @property
    def public_id(self) -> str:
        """The id that pins a call to this provider."""
        return f"{self.provider}/{self.id}"


@dataclass(slots=True, kw_only=True)
class Provider:
    """One provider: how to reach it and what it offers, by the provider's own model id."""

    name: str
    base_url: str
    upstream: Upstream
    models: dict[str, Model] = field(default_factory=dict)
    listed: dict[str, Model] = field(default_factory=dict)
    """Models of the provider's own list; those of `models` stay whatever it says."""

    def find(self, model_id: str) -> Model | None:
        """A model by the provider's id."""
        return self.models.get(model_id) or self.listed.get(model_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """What the table knows of a provider; the key and a base URL may come from the environment."""

    name: str
    base_url: str
    headers: tuple[tuple[str, str], ...] = ()

    def variable(self, suffix: str) -> str:
        """The environment variable of this provider: its name in capitals, `_` for `-`."""
        return f"{self.name.upper().replace('-', '_')}_{suffix}"


BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(name="openrouter", base_url="https://openrouter.ai/api/v1"),
)


def price_version(
    provider: str, model_id: str, terms: PriceTerms, *, source: str, effective_at: str
) -> PriceVersion:
    """A version named by its own content, so that the same price has the same name for ever."""
    content = msgspec.json.encode([provider, model_id, source, sorted(terms.as_strings().items())])
    digest = hashlib.blake2b(content, digest_size=6).hexdigest()
    return PriceVersion(
        version=f"{provider}/{model_id}@{digest}",
        source=source,
        effective_at=effective_at,
        terms=terms,
    )


class _FileModel(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    id: str
    input_per_million: str
    output_per_million: str
    cached_input_per_million: str | None = None
    cache_write_per_million: str | None = None
    reasoning_per_million: str | None = None
    per_request: str | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None

    def terms(self) -> dict[str, str]:
        names = PriceTerms.__dataclass_fields__
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class _FileProvider(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    base_url: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    headers: dict[str, str] = {}
    model: list[_FileModel] = []


class _File(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    provider: list[_FileProvider] = []


def read_providers_file(path: Path) -> list[_FileProvider]:
    """Parse the file; raises ProvidersFileError naming what is wrong and where."""
    try:
        with path.open("rb") as file:
            parsed = msgspec.convert(tomllib.load(file), _File)
    except FileNotFoundError:
        message = f"GATEWAYZ_PROVIDERS_FILE names {path}, which does not exist"
        raise ProvidersFileError(message) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f'{path}: {error} (prices are decimal strings in USD, such as "0.15")'
        raise ProvidersFileError(message) from None
    return parsed.provider


class Registry:
    """All providers of this process, and the look-up of models."""

    def __init__(self) -> None:
        """Empty; `load_registry` fills it."""
        self.providers: dict[str, Provider] = {}

    def resolve(self, model: str) -> Model | None:
        """The offer a caller's model id means.

        A first segment that is a provider's name pins the call to it; otherwise the id is
        looked for at each provider, in the order in which they were declared.
        """
        head, slash, rest = model.partition("/")
        if slash and head in self.providers:
            return self.providers[head].find(rest)
        for provider in self.providers.values():
            found = provider.find(model)
            if found is not None:
                return found
        return None

    def models(self) -> list[Model]:
        """Every offer, sorted by public id."""
        offers = {
            model.public_id: model
            for provider in self.providers.values()
            for model in (*provider.listed.values(), *provider.models.values())
        }
        return [offers[key] for key in sorted(offers)]

    async def close(self) -> None:
        """Close all upstreams."""
        for provider in self.providers.values():
            await provider.upstream.close()


def _simulator() -> Provider:
    terms = PriceTerms.parse({"input_per_million": "0.15", "output_per_million": "0.60"})
    price = price_version(
        "simulator", "echo", terms, source="built_in", effective_at="2026-01-01T00:00:00.000000Z"
    )
    model = Model(
        id="echo",
        provider="simulator",
        price=price,
        context_length=128_000,
        max_output_tokens=100_000,
    )
    return Provider(name="simulator", base_url="", upstream=Simulator(), models={"echo": model})


def _file_models(entry: _FileProvider, path: Path, effective_at: str) -> dict[str, Model]:
    models: dict[str, Model] = {}
    for item in entry.model:
        try:
            terms = PriceTerms.parse(item.terms())
        except InvalidPriceError as error:
            message = f"{path}: provider {entry.name!r}, model {item.id!r}: {error}"
            raise ProvidersFileError(message) from None
        models[item.id] = Model(
            id=item.id,
            provider=entry.name,
            price=price_version(
                entry.name, item.id, terms, source=FILE_SOURCE, effective_at=effective_at
            ),
            context_length=item.context_length,
            max_output_tokens=item.max_output_tokens,
        )
    if len(models) > MODELS_MAX:
        message = f"{path}: provider {entry.name!r} has more than {MODELS_MAX} models"
        raise ProvidersFileError(message)
    return models


def load_registry(
    *,
    environment: Mapping[str, str],
    providers_file: Path | None,
    effective_at: str,
    limits: ClientLimits,
) -> Registry:
    """Build the registry from the built-in table, the environment and the providers file.

    A built-in provider without a key is unconfigured and left out. Raises ProvidersFileError.
    """
    registry = Registry()
    entries = read_providers_file(providers_file) if providers_file else []
    by_name = {built_in.name: built_in for built_in in BUILT_IN}
    for built_in in BUILT_IN:
        key = environment.get(built_in.variable("API_KEY"))
        if key and built_in.name not in {entry.name for entry in entries}:
            entries.append(_FileProvider(name=built_in.name, api_key=key))
    for entry in entries:
        known = by_name.get(entry.name)
        base_url = entry.base_url
        key = entry.api_key or environment.get(entry.api_key_env or "")
        if known is not None:
            base_url = base_url or environment.get(known.variable("BASE_URL")) or known.base_url
            key = key or environment.get(known.variable("API_KEY"))
        if entry.name == "simulator":
            provider = _simulator()
        else:
            provider = _http_provider(entry, base_url, key, limits, known, providers_file)
        provider.models.update(_file_models(entry, providers_file or Path(), effective_at))
        registry.providers[entry.name] = provider
    registry.providers.setdefault("simulator", _simulator())
    return registry


def _http_provider(
    entry: _FileProvider,
    base_url: str | None,
    api_key: str | None,
    limits: ClientLimits,
    known: BuiltIn | None,
    path: Path | None,
) -> Provider:
    if not base_url:
        message = f"{path}: provider {entry.name!r} needs a base_url"
        raise ProvidersFileError(message)
    if "/" in entry.name or not entry.name:
        message = f"{path}: {entry.name!r} is not a provider name: it may not hold a slash"
        raise ProvidersFileError(message)
    headers = {**(dict(known.headers) if known else {}), **entry.headers}
    try:
        upstream = HttpUpstream(base_url, api_key=api_key, headers=headers, limits=limits)
    except ValueError as error:
        message = f"{path}: provider {entry.name!r}: {error}"
        raise ProvidersFileError(message) from None
    return Provider(name=entry.name, base_url=base_url.rstrip("/"), upstream=upstream)
