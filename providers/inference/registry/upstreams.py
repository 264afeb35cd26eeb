"""Puts an upstream together from a registry entry, the environment and the providers file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from providers.inference.adapters.anthropic.upstream import AnthropicUpstream
from providers.inference.adapters.fal import FalUpstream
from providers.inference.adapters.gemini.credentials import (
    Credentials,
    FixedToken,
    ServiceAccount,
    read_key,
)
from providers.inference.adapters.gemini.upstream import GeminiUpstream
from providers.inference.adapters.http1.client import HttpClient
from providers.inference.adapters.openai_api import OpenAiUpstream
from providers.inference.adapters.portkey import PortkeyUpstream
from providers.inference.adapters.realtime.sockets import Sockets
from providers.inference.registry.built_in import BuiltIn, Protocol
from providers.inference.registry.own_keys import ONE_SECRET, KeyedUpstreams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from providers.inference.adapters.http1.limits import ClientLimits
    from providers.inference.port import Upstream

SECRET_CHARACTERS_MIN = 4
"""What is shorter keeps no secret, and would be found in every text."""
VERTEX_LOCATION = "us-central1"
VIRTUAL_KEY_PREFIX = "PORTKEY_VIRTUAL_KEY_"
GENERIC = {
    Protocol.ANTHROPIC: BuiltIn(
        name="",
        base_url="",
        protocol=Protocol.ANTHROPIC,
        key_header="x-api-key",
        key_prefix="",
        headers=(("anthropic-version", "2023-06-01"),),
    ),
    Protocol.FAL: BuiltIn(name="", base_url="", protocol=Protocol.FAL, key_prefix="Key "),
    Protocol.GEMINI: BuiltIn(name="", base_url="", protocol=Protocol.GEMINI),
    Protocol.OPENAI: BuiltIn(name="", base_url=""),
}
"""Entries for providers of the file that are not built in, by their protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a provider is and how it knows us, as far as the operator said."""

    name: str
    base_url: str
    api_key: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol | None = None


class Made(NamedTuple):
    """An upstream, where it is, the headers for asking it for its models, and their secrets.

    `keyed` makes the same upstream for customers' own keys; None where those cannot be used.
    """

    upstream: Upstream
    base_url: str
    headers: dict[str, str]
    secrets: set[str]
    keyed: KeyedUpstreams | None = None


def make_upstream(
    address: Address, known: BuiltIn | None, environment: Mapping[str, str], limits: ClientLimits
) -> Made:
    """The upstream of an address; raises ValueError saying what is missing or wrong."""
    entry = known or GENERIC[address.protocol or Protocol.OPENAI]
    if entry.protocol is Protocol.CATALOG_ONLY:
        message = "this provider is a catalog only: it serves no calls"
        raise ValueError(message)
    base_url = address.base_url.rstrip("/")
    if entry.protocol is Protocol.GEMINI:
        secrets = _secrets(address.api_key, *address.headers.values())
        credentials, base_url = _vertex(address, environment, base_url, secrets)
        client = HttpClient(base_url, headers=dict(address.headers), limits=limits)
        endpoint = environment.get("GOOGLE_VERTEX_ENDPOINT_ID") or ""
        return Made(GeminiUpstream(client, credentials, endpoint), base_url, {}, secrets)
    if not base_url:
        message = "it needs a base_url"
        raise ValueError(message)
    headers = _headers(address, entry, environment)
    from_environment = (environment.get(variable) for _, variable in entry.env_headers)
    secrets = _secrets(address.api_key, *address.headers.values(), *from_environment)
    client = HttpClient(base_url, headers=headers, limits=limits)
    upstream: Upstream
    if entry.protocol is Protocol.ANTHROPIC:
        upstream = AnthropicUpstream(client)
    elif entry.protocol is Protocol.PORTKEY:
        virtual_keys = _virtual_keys(environment)
        secrets |= _secrets(*virtual_keys.values())
        upstream = PortkeyUpstream(client, virtual_keys)
    elif entry.protocol is Protocol.FAL:
        upstream = FalUpstream(client, deadline_s=limits.attempt_s)
    else:
        upstream = OpenAiUpstream(client, Sockets(base_url, headers))
    keyed = None
    if entry.protocol in ONE_SECRET:
        keyed = KeyedUpstreams(entry, base_url, client, limits)
    return Made(upstream, base_url, headers, secrets, keyed)


def _secrets(*values: str | None) -> set[str]:
    """The key, and what else the operator put into headers: `Bearer KEY` is known by its KEY."""
    last_words = {(value or "").rpartition(" ")[2] for value in values}
    return {each for each in last_words if len(each) >= SECRET_CHARACTERS_MIN}


def _headers(address: Address, entry: BuiltIn, environment: Mapping[str, str]) -> dict[str, str]:
    headers = dict(entry.headers)
    for name, variable in entry.env_headers:
        if environment.get(variable):
            headers[name] = environment[variable]
    if address.api_key:
        headers[entry.key_header] = entry.key_prefix + address.api_key
    return headers | {name.lower(): value for name, value in address.headers.items()}


def _virtual_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Portkey's virtual keys by provider: `PORTKEY_VIRTUAL_KEY_OPENAI` is that of `openai`."""
    return {
        name.removeprefix(VIRTUAL_KEY_PREFIX).lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith(VIRTUAL_KEY_PREFIX) and value
    }


def _vertex(
    address: Address, environment: Mapping[str, str], base_url: str, secrets: set[str]
) -> tuple[Credentials, str]:
    """Credentials and base URL of Vertex AI; a key of the operator's is the bearer token."""
    credentials: Credentials
    project = environment.get("GOOGLE_PROJECT_ID")
    if address.api_key:
        credentials = FixedToken(address.api_key)
    else:
        file = environment.get("GOOGLE_APPLICATION_CREDENTIALS")
        if not file:
            message = "set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file"
            raise ValueError(message)
        key = read_key(Path(file))
        project = project or key.project_id
        credentials = ServiceAccount(key, secrets)
    if base_url:
        return credentials, base_url
    if not project:
        message = "set GOOGLE_PROJECT_ID, or give a base_url"
        raise ValueError(message)
    location = environment.get("GOOGLE_VERTEX_LOCATION") or VERTEX_LOCATION
    host = "aiplatform.googleapis.com"
    host = host if location == "global" else f"{location}-{host}"
    return credentials, f"https://{host}/v1/projects/{project}/locations/{location}"
