"""Reads GATEWAYZ_PROVIDERS_FILE: providers, models with prices, aliases, routing (TOML)."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from decimal import Inexact
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from domain.catalog import ModelFacts
from domain.errors import InvalidPriceError
from domain.images.models import TOKENS_MAX, UNKNOWN_RULE, rule_of
from domain.overload.upstream import Concurrency
from domain.pricing.extras import EXTRA_NAMES
from domain.pricing.money import EXACT
from domain.pricing.terms import ABOVE, AT_TIER, EXTRA, TOKEN_TERMS, PriceTerms, parse_price
from domain.routing.order import WEIGHT_MAX, Policy, Sort
from providers.inference.registry.built_in import Protocol, Reranks
from providers.inference.registry.offers import ANY_NUMBER, Listed
from providers.inference.registry.thoughts import said_to_take

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from providers.inference.adapters.http1.limits import ClientLimits


SOURCE = "providers_file"
SERVICE_TIERS = "service_tiers"
PRICE_HINT = 'prices are decimal strings in USD, such as "0.15"'
MEDIA_COUNTS = ("image_tokens_max", "document_tokens_max")
COUNTS = ("context_length", "max_output_tokens", "created", *MEDIA_COUNTS)
IMAGES_AS = "images_as"
TEXTS = ("name", "description", IMAGES_AS)
LISTS = ("input_modalities", "output_modalities")
COUNT_MAX = 2**63 - 1
_HINTS = {
    **dict.fromkeys(COUNTS, "a whole number above 0"),
    **dict.fromkeys(MEDIA_COUNTS, f"a whole number above 0, at most {TOKENS_MAX}"),
    IMAGES_AS: "no model is known by that name whose images are billed by a stated rule",
}
PROTOCOLS = frozenset({Protocol.OPENAI, Protocol.ANTHROPIC, Protocol.GEMINI, Protocol.FAL})


class ProvidersFileError(ValueError):
    """The providers file is wrong; the message names the place and the cure."""


Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class FileConcurrency(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """How many calls a provider gets of a process at once; see `Concurrency`."""

    least: Count | None = None
    most: Count = ANY_NUMBER.most
    start: Count | None = None
    adaptive: bool = True

    def as_concurrency(self) -> Concurrency:
        """What it states; without a least one that is no more than the most."""
        least = min(ANY_NUMBER.least, self.most) if self.least is None else self.least
        return Concurrency(least, self.most, self.start, self.adaptive)


class FileConnections(
    msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True, omit_defaults=True
):
    """The connections to a provider of a process; times in seconds.

    At most so many, of which so many stay open idle for so long; a call waits so long for one.
    """

    most: Count | None = None
    idle: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    idle_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=600)] | None = None

    def applied_to(self, limits: ClientLimits, name: str) -> ClientLimits:
        """The limits of this provider's client."""
        return replace(
            limits,
            name=name,
            connections_max=limits.connections_max if self.most is None else self.most,
            idle_max=limits.idle_max if self.idle is None else self.idle,
            idle_connection_s=limits.idle_connection_s if self.idle_s is None else self.idle_s,
            wait_s=limits.wait_s if self.wait_s is None else self.wait_s,
        )


class FileProvider(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One `[[provider]]`. `protocol` is for providers that are not built in.

    `allow_unpriced` names extras that calls may ask for though they have no price; `responses` says
    whether it speaks OpenAI's Responses API, and `completions` whether its models complete a bare
    prompt; `rerank` in whose form it is asked to rank documents, and `speech_events` whether audio
    that is paid by tokens comes in OpenAI's events, which tell the usage; `realtime` whether it has
    realtime sessions as OpenAI's API has them; `thoughts` the members of an assistant message that
    it takes back.
    """

    name: str
    base_url: str | None = None
    api_key: str | None = None
    api_key_env: str | None = None
    protocol: str | None = None
    headers: dict[str, str] = {}
    allow_unpriced: list[str] = []
    responses: bool | None = None
    completions: bool | None = None
    rerank: Reranks = Reranks.COHERE
    speech_events: bool | None = None
    realtime: bool | None = None
    thoughts: list[str] | None = None
    concurrency: FileConcurrency = FileConcurrency()
    connections: FileConnections = FileConnections()
    model: list[dict[str, Any]] = []


class FileRoute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Routing of one model, or of all."""

    id: str = ""
    policy: Sort = Sort.ORDERED
    order: list[str] = []
    weights: dict[str, int] = {}
    hedge_after_ms: int | None = None

    def as_policy(self) -> Policy:
        """The policy it states."""
        return Policy(
            sort=self.policy,
            order=tuple(self.order),
            weights=self.weights,
            hedge_after_ms=self.hedge_after_ms,
        )


class FileRouting(FileRoute, kw_only=True, forbid_unknown_fields=True):
    """The table `[routing]`."""

    model: list[FileRoute] = []


class ProvidersFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    provider: list[FileProvider] = []
    aliases: dict[str, str] = {}
    routing: FileRouting | None = None


def read_providers_file(path: Path) -> ProvidersFile:
    """Parse the file; raises ProvidersFileError naming what is wrong and where."""
    try:
        with path.open("rb") as file:
            parsed = msgspec.convert(tomllib.load(file), ProvidersFile)
    except FileNotFoundError:
        message = f"GATEWAYZ_PROVIDERS_FILE names {path}, which does not exist"
        raise ProvidersFileError(message) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        message = f"{path}: {error} ({PRICE_HINT})"
        raise ProvidersFileError(message) from None
    for entry in parsed.provider:
        if "/" in entry.name or not entry.name:
            message = f"{path}: {entry.name!r} is not a provider name: it may not hold a slash"
            raise ProvidersFileError(message)
        if entry.protocol is not None and entry.protocol not in PROTOCOLS:
            known = ", ".join(sorted(PROTOCOLS))
            message = f"{path}: provider {entry.name!r}: protocol must be one of {known}"
            raise ProvidersFileError(message)
        _check_concurrency(f"{path}: provider {entry.name!r}", entry.concurrency)
        _check_extras(f"{path}: provider {entry.name!r}: allow_unpriced", entry.allow_unpriced)
        try:
            said_to_take(entry.thoughts or ())
        except ValueError as error:
            message = f"{path}: provider {entry.name!r}: {error}"
            raise ProvidersFileError(message) from None
    routes = [parsed.routing, *parsed.routing.model] if parsed.routing else []
    for route in routes:
        _check_route(path, route)
    return parsed


def _check_route(path: Path, route: FileRoute) -> None:
    where = f"{path}: routing of {route.id or 'all models'}"
    for provider, weight in route.weights.items():
        if not 0 <= weight <= WEIGHT_MAX:
            message = f"{where}: the weight of {provider} must be between 0 and {WEIGHT_MAX}"
            raise ProvidersFileError(message)
    if route.hedge_after_ms is not None and route.hedge_after_ms < 1:
        message = f"{where}: hedge_after_ms must be at least 1"
        raise ProvidersFileError(message)


def _check_concurrency(where: str, given: FileConcurrency) -> None:
    allowed = given.as_concurrency()
    if allowed.least > allowed.most:
        message = f"{where}: concurrency.least is above concurrency.most, {allowed.most}"
        raise ProvidersFileError(message)


def _check_extras(where: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in EXTRA_NAMES:
            message = f"{where}: {name!r} is no extra; they are {', '.join(sorted(EXTRA_NAMES))}"
            raise ProvidersFileError(message)


def _extra_prices(where: str, value: Any) -> dict[str, str]:
    """The price terms of `extra_prices`, USD for a call that asks for the extra."""
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        message = f"{where}: extra_prices is {value!r}: {PRICE_HINT}"
        raise ProvidersFileError(message)
    _check_extras(f"{where}: extra_prices", value)
    return {f"{EXTRA}{name}": text for name, text in value.items()}


def _service_tiers(where: str, item: dict[str, Any]) -> dict[str, str]:
    """The price terms of `service_tiers`: for each its own, or a factor on all token prices."""
    value = item.get(SERVICE_TIERS, {})
    if not isinstance(value, dict):
        message = f"{where}: {SERVICE_TIERS} is {value!r}: a table of tiers, {PRICE_HINT}"
        raise ProvidersFileError(message)
    terms: dict[str, str] = {}
    for tier, stated in value.items():
        own = _times(where, item, stated) if isinstance(stated, str) else stated
        good = isinstance(own, dict) and all(isinstance(each, str) for each in own.values())
        if not good or not own:
            message = f"{where}: {SERVICE_TIERS}: {tier} is {stated!r}: {PRICE_HINT}"
            raise ProvidersFileError(message)
        terms |= {f"{name}{AT_TIER}{tier}": text for name, text in own.items()}
    return terms


def _times(where: str, item: dict[str, Any], factor: str) -> dict[str, str]:
    """Every token price that a model states, times a factor, exactly."""
    try:
        times = parse_price("a factor", factor)
        prices = {
            name: parse_price(name, text)
            for name, text in item.items()
            if name.partition(ABOVE)[0] in TOKEN_TERMS and isinstance(text, str)
        }
        own = {name: EXACT.multiply(each, times) for name, each in prices.items()}
        return {name: format(each.normalize(EXACT), "f") for name, each in own.items()}
    except (InvalidPriceError, Inexact) as error:
        message = f"{where}: {SERVICE_TIERS}: {error}"
        raise ProvidersFileError(message) from None


def file_models(entry: FileProvider, path: Path) -> list[Listed]:
    """The models of one provider; raises ProvidersFileError naming the model."""
    return [_file_model(entry.name, item, path) for item in entry.model]


def _is_good(name: str, value: Any) -> bool:
    """Whether a member of a model may have this value."""
    if name in COUNTS:
        most = TOKENS_MAX if name in MEDIA_COUNTS else COUNT_MAX
        return type(value) is int and 0 < value <= most
    if name in LISTS:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if name == IMAGES_AS:
        return isinstance(value, str) and rule_of(value) is not UNKNOWN_RULE
    return isinstance(value, str) and not name.startswith(EXTRA)


def _file_model(provider: str, item: dict[str, Any], path: Path) -> Listed:
    model_id = item.get("id")
    where = f"{path}: provider {provider!r}, model {model_id!r}"
    if not isinstance(model_id, str) or not model_id:
        message = f"{where}: id must be a text"
        raise ProvidersFileError(message)
    facts: dict[str, Any] = {}
    terms = _extra_prices(where, item.get("extra_prices", {}))
    terms |= _service_tiers(where, item)
    for name, value in item.items():
        if name in ("id", "extra_prices", SERVICE_TIERS):
            continue
        if not _is_good(name, value):
            hint = _HINTS.get(name, PRICE_HINT)
            message = f"{where}: {name} is {value!r}: {hint}"
            raise ProvidersFileError(message)
        if name in COUNTS or name in TEXTS:
            facts[name] = value
        elif name in LISTS:
            facts[name] = tuple(value)
        else:
            terms[name] = value
    try:
        PriceTerms.parse(terms)
    except InvalidPriceError as error:
        message = f"{where}: {error}"
        raise ProvidersFileError(message) from None
    return Listed(id=model_id, facts=ModelFacts(**facts), terms=terms, source=SOURCE)
