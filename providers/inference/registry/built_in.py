"""The providers that are known by name: one declarative entry each.

An OpenAI-compatible provider needs its name and base URL; everything else has a default. Keys
and other addresses come from the environment (`NAME_API_KEY`, `NAME_BASE_URL`) or from the
providers file. Base URLs, headers and lists are from the providers' own documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.catalog import PLAIN, IdRules


class Protocol(StrEnum):
    """What a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    FAL = "fal"
    PORTKEY = "portkey"
    CATALOG_ONLY = "catalog_only"


class Reranks(StrEnum):
    """In whose form a provider is asked to rank documents.

    Cohere's is that of Jina, Together, OpenRouter and vLLM, too. Voyage names `top_n` otherwise.
    """

    COHERE = "cohere"
    VOYAGE = "voyage"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """One provider; `name`, `base_url` and what differs from the defaults.

    `list_path` is asked for models (relative to the base URL, or a whole URL); `list_form` names
    how it is written; `price_table` is the provider in the price table for models that the list
    has no price for. `static_models` are the ids offered where there is no list to ask.
    `key_header` carries the key behind `key_prefix`; `key_env` are further variables that may
    hold it. `env_headers` are headers whose values come from the environment, sent when they are
    set. `drops` are members of a body that it rejects; `needs_max_tokens` says that it wants a
    maximum in every call; `own_routing` that `provider` in a body means something to it;
    `responses` that it speaks OpenAI's Responses API; `speech_events` that audio of its models that
    are paid by tokens comes in OpenAI's events; `realtime` that it has realtime sessions;
    `completions` how the ids of the models begin that it completes a bare prompt with.
    """

    name: str
    base_url: str
    protocol: Protocol = Protocol.OPENAI
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    key_env: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    env_headers: tuple[tuple[str, str], ...] = ()
    list_path: str = "/models"
    list_form: str = "plain"
    price_table: str = ""
    static_models: tuple[str, ...] = ()
    rules: IdRules = PLAIN
    drops: tuple[str, ...] = ()
    needs_max_tokens: bool = False
    own_routing: bool = False
    responses: bool = False
    speech_events: bool = False
    realtime: bool = False
    completions: tuple[str, ...] = ()
    site_url: str = ""

    def variable(self, suffix: str) -> str:
        """The environment variable of this provider: its name in capitals, `_` for `-`."""
        return f"{self.name.upper().replace('-', '_')}_{suffix}"


ALL = ("",)
"""Ids of any model."""

BUILT_IN: tuple[BuiltIn, ...] = (
    BuiltIn(
        name="openai",
        base_url="https://api.openai.com/v1",
        price_table="openai",
        rules=IdRules(organisation="openai"),
        responses=True,
        speech_events=True,
        realtime=True,
        completions=(
            *("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"),
            *("ft:davinci-002", "ft:babbage-002"),
        ),
        site_url="https://openai.com",
    ),
    BuiltIn(
        name="anthropic",
        base_url="https://api.anthropic.com/v1",
        protocol=Protocol.ANTHROPIC,
        key_header="x-api-key",
        key_prefix="",
        headers=(("anthropic-version", "2023-06-01"),),
        list_path="/models?limit=1000",
        price_table="anthropic",
        rules=IdRules(organisation="anthropic"),
        needs_max_tokens=True,
        site_url="https://www.anthropic.com",
    ),
    BuiltIn(
        name="google-vertex",
        base_url="",  # Made of project and location, unless it is given.
        protocol=Protocol.GEMINI,
        list_path="",
        price_table="google",
        rules=IdRules(prefix="google/", organisation="google"),
        site_url="https://cloud.google.com/vertex-ai",
    ),
    BuiltIn(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        env_headers=(
            ("http-referer", "OPENROUTER_SITE_URL"),
            ("x-title", "OPENROUTER_SITE_NAME"),
        ),
        list_form="openrouter",
        rules=IdRules(prefix="openrouter/"),
        own_routing=True,
        responses=True,
        completions=ALL,
        site_url="https://openrouter.ai",
    ),
    BuiltIn(
        name="vercel-ai-gateway",
        base_url="https://ai-gateway.vercel.sh/v1",
        list_form="vercel",
        own_routing=True,
        site_url="https://vercel.com/ai-gateway",
    ),
    BuiltIn(
        name="portkey",
        base_url="https://api.portkey.ai/v1",
        protocol=Protocol.PORTKEY,
        key_header="x-portkey-api-key",
        key_prefix="",
        env_headers=(
            ("x-portkey-virtual-key", "PORTKEY_VIRTUAL_KEY"),
            ("x-portkey-provider", "PORTKEY_PROVIDER"),
            ("x-portkey-config", "PORTKEY_CONFIG"),
        ),
        own_routing=True,
        site_url="https://portkey.ai",
    ),
    BuiltIn(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        price_table="groq",
        site_url="https://groq.com",
    ),
    BuiltIn(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        price_table="cerebras",
        completions=ALL,
        site_url="https://cerebras.ai",
    ),
    BuiltIn(
        name="xai",
        base_url="https://api.x.ai/v1",
        list_path="/language-models",
        list_form="xai",
        price_table="x-ai",
        rules=IdRules(organisation="x-ai"),
        responses=True,
        site_url="https://x.ai",
    ),
    BuiltIn(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        price_table="fireworks",
        rules=IdRules(prefix="accounts/fireworks/models/", points_as_p=True),
        completions=ALL,
        site_url="https://fireworks.ai",
    ),
    BuiltIn(
        name="together",
        base_url="https://api.together.xyz/v1",
        list_form="together",
        price_table="together",
        completions=ALL,
        site_url="https://www.together.ai",
    ),
    BuiltIn(
        name="deepinfra",
        base_url="https://api.deepinfra.com/v1/openai",
        list_path="https://api.deepinfra.com/models/list",
        list_form="deepinfra",
        completions=ALL,
        site_url="https://deepinfra.com",
    ),
    BuiltIn(
        name="huggingface",
        base_url="https://router.huggingface.co/v1",
        key_env=("HUG_API_KEY", "HF_TOKEN"),
        list_form="huggingface",
        rules=IdRules(route_suffix=True),
        site_url="https://huggingface.co",
    ),
    BuiltIn(
        name="featherless",
        base_url="https://api.featherless.ai/v1",
        completions=ALL,
        site_url="https://featherless.ai",
    ),
    BuiltIn(
        name="chutes",
        base_url="https://llm.chutes.ai/v1",
        list_form="chutes",
        site_url="https://chutes.ai",
    ),
    BuiltIn(
        name="near",
        base_url="https://cloud-api.near.ai/v1",
        list_path="/model/list",
        list_form="near",
        rules=IdRules(prefix="near/"),
        drops=("reasoning_effort",),
        site_url="https://near.ai",
    ),
    BuiltIn(
        name="aimo",
        base_url="https://devnet.aimo.network/api/v1",
        list_form="aimo",
        rules=IdRules(route_prefix=True),
        site_url="https://aimo.network",
    ),
    BuiltIn(
        name="anannas",
        base_url="https://api.anannas.ai/v1",
        list_form="openrouter",
        own_routing=True,
        site_url="https://anannas.ai",
    ),
    BuiltIn(
        name="aihubmix",
        base_url="https://aihubmix.com/v1",
        env_headers=(("app-code", "AIHUBMIX_APP_CODE"),),
        list_path="https://aihubmix.com/api/v1/models",
        list_form="aihubmix",
        site_url="https://aihubmix.com",
    ),
    BuiltIn(
        name="fal",
        base_url="https://queue.fal.run",
        protocol=Protocol.FAL,
        key_prefix="Key ",
        key_env=("FAL_KEY",),
        list_path="",
        static_models=(
            "fal-ai/flux/schnell",
            "fal-ai/flux/dev",
            "fal-ai/flux-pro/v1.1",
            "fal-ai/flux-pro/v1.1-ultra",
            "fal-ai/fast-sdxl",
            "fal-ai/stable-diffusion-v35-large",
            "fal-ai/recraft-v3",
            "fal-ai/ideogram/v2",
            "fal-ai/aura-flow",
        ),
        site_url="https://fal.ai",
    ),
    BuiltIn(
        name="modelz",
        base_url="https://backend.alpacanetwork.ai",
        protocol=Protocol.CATALOG_ONLY,
        list_path="/api/tokens",
        site_url="https://modelz.ai",
    ),
)
"""In the order in which an id that several providers offer is looked for."""

BY_NAME = {entry.name: entry for entry in BUILT_IN}
SIMULATOR = "simulator"
NAMES = frozenset({*BY_NAME, SIMULATOR})
OTHER_NAMES = {
    "hug": "huggingface",
    "google": "google-vertex",
    "x-ai": "xai",
    "vercel": "vercel-ai-gateway",
}
"""Names that older clients use for providers besides our own."""
