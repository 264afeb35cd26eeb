"""What is charged by its uses and by the service tier that was served, as a call asks for it.

A use is one search of the web, one search of files, one session of a code interpreter's container
(OpenAI, "Pricing", built-in tools; Anthropic, "Web search tool"; xAI, "Live search"). A service
tier has token prices of its own (OpenAI, "Flex processing" and "Priority processing").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

WEB_SEARCH, FILE_SEARCH, CODE_INTERPRETER = "web_search", "file_search", "code_interpreter"
HEARD_MILLISECONDS, HEARD_TEXT = "transcript_milliseconds", "transcript_text_tokens"
HEARD_AUDIO, HEARD_OUTPUT = "transcript_audio_tokens", "transcript_output_tokens"
TRANSCRIPTS = (HEARD_MILLISECONDS, HEARD_TEXT, HEARD_AUDIO, HEARD_OUTPUT)
"""What a session uses of another model, which writes down what is heard (`domain/realtime`)."""
PER_THOUSAND = "_per_thousand"
TERM_OF_USE = {
    name: f"{name}{PER_THOUSAND}"
    for name in (WEB_SEARCH, FILE_SEARCH, CODE_INTERPRETER, *TRANSCRIPTS)
}
"""The price term of each use: USD for a thousand of them."""
USE_OF_TERM = {term: name for name, term in TERM_OF_USE.items()}

TIER = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""How a service tier is named that may have a price."""
AUTO = "auto"
PLAIN_TIERS = frozenset({AUTO, "default", "standard", "standard_only", "on_demand"})
"""Tiers at the plain price: OpenAI's, Anthropic's and Groq's words for it. `auto` is what the
provider makes of it."""
TIER_TERM = "service_tier:"
SERVER_TOOLS_MAX = 64
"""Most tools of a body that are looked at for a maximum of uses; more count as without one."""


def tier_term(value: Any) -> str:
    """What prices a tier that a body asks for; nothing does that is no name of one."""
    named = isinstance(value, str) and value not in PLAIN_TIERS and TIER.fullmatch(value)
    return f"{TIER_TERM}{value}" if named else ""


def use_of_tool(kind: str) -> str:
    """What a tool of this type uses, if it is counted."""
    bare = kind.removeprefix("openrouter:")
    if bare.startswith(WEB_SEARCH):
        return WEB_SEARCH
    return bare if bare in (FILE_SEARCH, CODE_INTERPRETER) else ""


class Asked(NamedTuple):
    """What a call asks for that is charged by what is used of it.

    `uses` are the names, each with the most uses that the caller allows, or None; `tier` is the
    service tier, empty where the body names none or a plain one.
    """

    uses: tuple[tuple[str, int | None], ...] = ()
    tier: str = ""

    def most_uses(self, priced: Collection[str], unstated: int) -> tuple[tuple[str, int], ...]:
        """The most of each that has a price; `unstated` where the caller allows any number."""
        return tuple(
            (name, unstated if most is None else most) for name, most in self.uses if name in priced
        )

    def tiers(self, priced: Collection[str]) -> tuple[str, ...]:
        """The tiers with a price that the call may be served at, beside the plain one.

        `auto` may be any: which, the provider's account decides.
        """
        return tuple(each for each in priced if self.tier in (AUTO, each))

    def served(self, told: str, priced: Collection[str]) -> str:
        """The tier whose price is paid; empty for the plain one.

        It is the one that the provider says it served, where the call asked for that. Of one that
        nobody asked for, that nobody knows, or that is not told, the call pays what it asked for:
        `auto` asked for none.
        """
        reach = self.tiers(priced)
        if told in reach:
            return told
        if told in PLAIN_TIERS or self.tier not in reach:
            return ""
        return self.tier


def uses_paid(
    most: Iterable[tuple[str, int]], told: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    """The uses that are paid of those that were told, none of them more than the most.

    Where nobody counts, or a count cannot be, a call that asked pays for one: OpenAI's models that
    search in Chat Completions search once, and count nowhere.
    """
    counts = ((name, told.get(name, -1), limit) for name, limit in most)
    paid = ((name, min(1 if count < 0 else count, limit)) for name, count, limit in counts)
    return tuple((name, count) for name, count in paid if count)


def uses_asked(
    members: Mapping[str, Any], tools: list[Any], names: Collection[str], choices: int
) -> tuple[tuple[str, int | None], ...]:
    """Each use that a body asks for, and the most of it that the body allows.

    `names` are those that its extras name. Anthropic's `max_uses` of a tool, xAI's
    `max_search_results` and `max_tool_calls` of Responses are enforced by the provider; a code
    interpreter has one container in a response (OpenAI, "Code Interpreter").
    """
    together = _count(members.get("max_tool_calls"))
    found: dict[str, int | None] = {}
    for name in names:
        stated = [_most_of(each, name) for each in tools[:SERVER_TOOLS_MAX]]
        allowed = [each for each in stated if each != 0]
        parameters = members.get("search_parameters")
        if name == WEB_SEARCH and isinstance(parameters, dict):
            allowed.append(_count(parameters.get("max_search_results")))
        elif name == WEB_SEARCH and _elsewhere(members):
            allowed.append(None)
        known = [each for each in allowed if each is not None]
        more = len(tools) > SERVER_TOOLS_MAX or len(known) < len(allowed) or not allowed
        limits = [*([] if more else [sum(known)]), *([] if together is None else [together])]
        found[name] = min(limits) * choices if limits else None
    return tuple(found.items())


def _elsewhere(members: Mapping[str, Any]) -> bool:
    """Whether a search is asked for by a member that states no maximum."""
    return any(members.get(name) for name in ("plugins", "enable_search")) or (
        members.get("web_search_options") is not None
    )


def _most_of(tool: Any, name: str) -> int | None:
    """The most uses of one kind by a tool; 0 for another tool, None where it says nothing."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    if not isinstance(kind, str) or use_of_tool(kind) != name:
        return 0
    return 1 if name == CODE_INTERPRETER else _count(tool.get("max_uses"))


def _count(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def counted_uses(items: Iterable[Any]) -> dict[str, int]:
    """The uses that the output of Responses shows: its calls, and containers of its code."""
    counts = {WEB_SEARCH: 0, FILE_SEARCH: 0}
    containers: set[str] = set()
    for item in items:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "web_search_call" and not _only_reads(item):
            counts[WEB_SEARCH] += 1
        elif kind == "file_search_call":
            counts[FILE_SEARCH] += 1
        elif kind == "code_interpreter_call":
            containers.add(str(item.get("container_id")))
    return {**counts, CODE_INTERPRETER: len(containers)}


def _only_reads(item: Mapping[str, Any]) -> bool:
    """Opening a page and finding in it is no search (OpenAI, "Web search", actions)."""
    action = item.get("action")
    return isinstance(action, dict) and action.get("type") in ("open_page", "find_in_page", "find")
