"""Makes the registry of the built-in providers, the environment and the providers file.

Built-in providers are entries of one table; `GATEWAYZ_PROVIDERS_FILE` (TOML) adds providers,
overrides base URLs, and adds or prices models.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.catalog import IdRules, ModelFacts
from providers.inference.adapters.simulator.upstream import Simulator
from providers.inference.registry.built_in import ALL, BUILT_IN, BY_NAME, NAMES, SIMULATOR, Protocol
from providers.inference.registry.offers import MODELS_MAX, Listed, Provider, offer
from providers.inference.registry.providers_file import (
    FileProvider,
    ProvidersFile,
    ProvidersFileError,
    file_models,
    read_providers_file,
)
from providers.inference.registry.registry import Registry
from providers.inference.registry.thoughts import STRICT, said_to_take
from providers.inference.registry.upstreams import Address, make_upstream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.inference.adapters.http1.limits import ClientLimits
    from providers.inference.registry.built_in import BuiltIn
    from providers.inference.registry.thoughts import Taken

BUILT_IN_EFFECTIVE_AT = "2026-01-01T00:00:00.000000Z"


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
    registry.room = limits.room
    parsed = read_providers_file(providers_file) if providers_file else ProvidersFile()
    entries = list(parsed.provider)
    in_file = {entry.name for entry in entries}
    entries += [
        FileProvider(name=built_in.name)
        for built_in in BUILT_IN
        if built_in.name not in in_file and _configured(built_in, environment)
    ]
    for entry in entries:
        if entry.name == SIMULATOR:
            provider = _simulator()
            provider.allow_unpriced = frozenset(entry.allow_unpriced)
            provider.concurrency = entry.concurrency.as_concurrency()
        else:
            provider = _provider(entry, environment, limits, providers_file)
        for item in file_models(entry, providers_file or Path()):
            provider.models[item.id] = offer(entry.name, item, provider.rules, effective_at)
        if len(provider.models) > MODELS_MAX:
            message = f"{providers_file}: provider {entry.name!r} has over {MODELS_MAX} models"
            raise ProvidersFileError(message)
        registry.providers[entry.name] = provider
    registry.providers.setdefault(SIMULATOR, _simulator())
    registry.unconfigured = sorted(NAMES - set(registry.providers))
    registry.aliases = parsed.aliases
    if parsed.routing:
        registry.policy = parsed.routing.as_policy()
        registry.policies = {each.id: each.as_policy() for each in parsed.routing.model}
    return registry


def _configured(built_in: BuiltIn, environment: Mapping[str, str]) -> bool:
    if built_in.protocol is Protocol.CATALOG_ONLY:
        return False
    if built_in.protocol is Protocol.GEMINI:
        return bool(environment.get("GOOGLE_PROJECT_ID"))
    return key_of(built_in, environment) is not None


def key_of(built_in: BuiltIn, environment: Mapping[str, str]) -> str | None:
    """The key that the environment gives a built-in provider."""
    names = (built_in.variable("API_KEY"), *built_in.key_env)
    return next((environment[name] for name in names if environment.get(name)), None)


def _provider(
    entry: FileProvider,
    environment: Mapping[str, str],
    limits: ClientLimits,
    path: Path | None,
) -> Provider:
    known = BY_NAME.get(entry.name)
    base_url = entry.base_url
    key = entry.api_key or environment.get(entry.api_key_env or "")
    if known is not None:
        base_url = base_url or environment.get(known.variable("BASE_URL")) or known.base_url
        key = key or key_of(known, environment)
    address = Address(
        name=entry.name,
        base_url=base_url or "",
        api_key=key,
        headers=entry.headers,
        protocol=Protocol(entry.protocol) if entry.protocol else None,
    )
    try:
        own = entry.connections.applied_to(limits, entry.name)
        made = make_upstream(address, known, environment, own)
    except ValueError as error:
        message = f"{path}: provider {entry.name!r}: {error}"
        raise ProvidersFileError(message) from None
    protocol = known.protocol if known else address.protocol
    anthropic = protocol is Protocol.ANTHROPIC
    return Provider(
        name=entry.name,
        base_url=made.base_url,
        upstream=made.upstream,
        keyed=made.keyed,
        secrets=made.secrets,
        list_headers=tuple(made.headers.items()),
        rules=known.rules if known else IdRules(),
        drops=known.drops if known else (),
        allow_unpriced=frozenset(entry.allow_unpriced),
        concurrency=entry.concurrency.as_concurrency(),
        needs_max_tokens=known.needs_max_tokens if known else anthropic,
        own_routing=known.own_routing if known else False,
        takes_messages=anthropic,
        signs_calls=protocol is Protocol.GEMINI,
        thoughts=_taken_thoughts(entry, known, address.protocol),
        rerank=entry.rerank,
        speech_events=bool(known and known.speech_events)
        if entry.speech_events is None
        else entry.speech_events,
        realtime=_has_realtime(entry, known, address.protocol),
        takes_responses=_speaks_responses(entry, known, address.protocol),
        completions=_completing(entry, known, address.protocol),
    )


def _speaks_responses(
    entry: FileProvider, known: BuiltIn | None, protocol: Protocol | None
) -> bool:
    """As the file says, else as is known; who speaks another protocol than OpenAI's never does."""
    spoken = known.protocol if known else protocol or Protocol.OPENAI
    if spoken is not Protocol.OPENAI:
        return False
    if entry.responses is not None:
        return entry.responses
    return known.responses if known else False


def _taken_thoughts(
    entry: FileProvider, known: BuiltIn | None, protocol: Protocol | None
) -> Taken | None:
    """As the file says, else as is known; None where it goes by what the provider speaks."""
    spoken = known.protocol if known else protocol or Protocol.OPENAI
    if spoken is not Protocol.OPENAI:
        return None
    if entry.thoughts is not None:
        return said_to_take(entry.thoughts)
    return STRICT.get(entry.name)


def _has_realtime(entry: FileProvider, known: BuiltIn | None, protocol: Protocol | None) -> bool:
    """The same for realtime sessions."""
    spoken = known.protocol if known else protocol or Protocol.OPENAI
    if spoken is not Protocol.OPENAI:
        return False
    return bool(known and known.realtime) if entry.realtime is None else entry.realtime


def _completing(
    entry: FileProvider, known: BuiltIn | None, protocol: Protocol | None
) -> tuple[str, ...]:
    """As the file says, else as is known; who speaks another protocol than OpenAI's has none."""
    spoken = known.protocol if known else protocol or Protocol.OPENAI
    if spoken is not Protocol.OPENAI or entry.completions is False:
        return ()
    if entry.completions:
        return ALL
    return known.completions if known else ()


def _simulator() -> Provider:
    item = Listed(
        id="echo",
        facts=ModelFacts(
            name="Echo",
            context_length=128_000,
            max_output_tokens=100_000,
            description="Answers without any provider's key.",
        ),
        terms={"input_per_million": "0.15", "output_per_million": "0.60"},
        source="built_in",
    )
    embedding = Listed(
        id="embed",
        facts=ModelFacts(name="Embed", context_length=8_192, output_modalities=("embedding",)),
        terms={"input_per_million": "0.02", "output_per_million": "0"},
        source="built_in",
    )
    image = Listed(
        id="paint",
        facts=ModelFacts(name="Paint", output_modalities=("image",)),
        terms={"per_image": "0.01"},
        source="built_in",
    )
    hearing = Listed(
        id="listen",
        facts=ModelFacts(
            name="Listen", input_modalities=("audio",), output_modalities=("transcription",)
        ),
        terms={"per_minute": "0.006"},
        source="built_in",
    )
    moderation = Listed(
        id="moderate",
        facts=ModelFacts(name="Moderate", output_modalities=("moderation",)),
        terms={"input_per_million": "0", "output_per_million": "0"},
        source="built_in",
    )
    rerank = Listed(
        id="rank",
        facts=ModelFacts(name="Rank", output_modalities=("score",)),
        terms={"per_thousand_searches": "2"},
        source="built_in",
    )
    speech = [
        Listed(
            id=name,
            facts=ModelFacts(name=name.capitalize(), output_modalities=("speech",)),
            terms=terms,
            source="built_in",
        )
        for name, terms in (
            ("speak", {"per_million_characters": "15"}),
            ("recite", {"input_per_million": "0.60", "output_per_million": "12"}),
        )
    ]
    models = {
        each.id: offer(SIMULATOR, each, IdRules(organisation=SIMULATOR), BUILT_IN_EFFECTIVE_AT)
        for each in (item, embedding, image, hearing, moderation, rerank, _talking(), *speech)
    }
    return Provider(
        name=SIMULATOR,
        base_url="",
        upstream=Simulator(),
        models=models,
        speech_events=True,
        realtime=True,
        allow_unpriced=frozenset({"partial_images"}),
    )


def _talking() -> Listed:
    return Listed(
        id="talk",
        facts=ModelFacts(
            name="Talk",
            context_length=32_000,
            max_output_tokens=4_096,
            input_modalities=("text", "audio", "image"),
            output_modalities=("text", "audio"),
        ),
        terms={
            "input_per_million": "0.60",
            "cached_input_per_million": "0.06",
            "output_per_million": "2.40",
            "audio_input_per_million": "10",
            "cached_audio_input_per_million": "0.30",
            "audio_output_per_million": "20",
            "image_input_per_million": "0.80",
            "cached_image_input_per_million": "0.08",
        },
        source="built_in",
    )
