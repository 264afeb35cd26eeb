"""The verbs about API keys."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID  # noqa: TC003 - typer reads annotations at run time.

import typer

from command_api.cli.base import (
    SHOWN,
    Home,
    Json,
    Shown,
    fail,
    instant,
    opened_to_read,
    show,
    shown_of,
)
from command_api.cli.people.scan import key_scan
from command_api.cli.users import commands_of
from command_api.composition import place_of_secret
from command_api.identity.key_orders import CACHE, MAX_REQUESTS, NewKey
from command_api.identity.known_users import find_key, find_user
from domain.errors import InvalidCommandError
from domain.identity.access import ADDRESSES, ENTRIES_MAX, MODELS, PROVIDERS, REFERRERS, SCOPES
from domain.identity.key_cache import (
    MAX_AGE,
    SCOPE,
    SEMANTIC,
    THRESHOLD,
    TTL,
    Scope,
    read_key_cache,
)
from domain.identity.key_format import Environment
from domain.identity.permissions import scopes_of
from domain.quotas.terms import LIMIT_MAX
from event_store.ids import to_iso
from query_api.api_keys.queries import read_key, read_keys

if TYPE_CHECKING:
    from command_api.identity.key_orders import Written

keys = typer.Typer(no_args_is_help=True, help="API keys.")
keys.command("scan")(key_scan)

GRACE_HOURS_MAX = 8_760.0
"""A year: longer than that the old writing of a key need not open."""
NEVER = "never"
LIFTED = (*ENTRIES_MAX, MAX_REQUESTS, CACHE)

Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="What it may, as read:usage or write:*; repeat it for more."),
]
Addresses = Annotated[
    list[str] | None, typer.Option("--ip", help="Address or network of its clients; repeat it.")
]
Referrers = Annotated[
    list[str] | None, typer.Option("--referrer", help="Domain of the pages that use it; repeat it.")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Model that it may call, or openai/*."),
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", help="Provider that it may use; repeat it.")
]
Most = Annotated[
    int | None,
    typer.Option("--max-requests", min=1, max=LIMIT_MAX, help="So many requests in all."),
]
CacheTtl = Annotated[
    int | None, typer.Option(help="Its calls use the cache, which keeps answers so many seconds.")
]
CacheAge = Annotated[
    int | None, typer.Option(help="With --cache-ttl-s: the oldest cached answer, seconds.")
]
CacheThreshold = Annotated[
    str | None, typer.Option(help="With it: answers to texts that are as near, 0.5 to 1.")
]
CacheScope = Annotated[Scope | None, typer.Option(help="With it: whose answers to near texts.")]
Ends = Annotated[str | None, typer.Option(help="When it ends, ISO 8601 with zone, or a day (UTC).")]


@keys.command("create")
def key_create(  # noqa: PLR0913, PLR0917 - each is an option.
    user: Annotated[str, typer.Option(help="Id or address of the user.")],
    name: Annotated[
        str | None, typer.Option(help="What it is for; one of its own for each key of a user.")
    ] = None,
    environment: Annotated[Environment, typer.Option(help="Stands in the key.")] = Environment.LIVE,
    project: Annotated[
        UUID | None, typer.Option(help="Id of the project whose organisation pays.")
    ] = None,
    expires_at: Ends = None,
    scope: Scopes = None,
    ip: Addresses = None,
    referrer: Referrers = None,
    model: Models = None,
    provider: Providers = None,
    max_requests: Most = None,
    cache_ttl_s: CacheTtl = None,
    cache_max_age_s: CacheAge = None,
    cache_threshold: CacheThreshold = None,
    cache_scope: CacheScope = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make another key for a user; it is shown this once."""
    with commands_of(home) as (known, _):
        end = None if expires_at is None else instant(expires_at)
        new = NewKey(
            name=name or "key",
            numbered=name is None,
            environment=environment,
            expires_at=end,
            limits=_lists(scope, ip, referrer, model, provider),
            project_id=project,
            max_requests=max_requests,
            cache=_cache(cache_ttl_s, cache_max_age_s, cache_threshold, cache_scope),
        )
        made = known.create(user, new)
        told = {"key_id": made.key_id, "api_key": made.api_key, "name": made.name}
        show(
            {**told, "environment": environment, "expires_at": end and to_iso(end)},
            as_json=as_json,
        )


@keys.command("list")
def key_list(
    user: Annotated[str, typer.Option(help="Id or address of the user.")],
    limit: Shown = SHOWN,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a user's keys, oldest first, one a line."""
    with opened_to_read(home) as (settings, database):
        found = read_keys(database, find_user(database, place_of_secret(settings), user))
    for each in shown_of(found, limit):
        if as_json:
            show(each, as_json=True)
        else:
            sys.stdout.write(
                f"{each['id']}  {each['api_key']}  {each['key_name']}  "
                f"{_state_of(each)}  requests {each['requests_used']}\n"
            )


@keys.command("show")
def key_show(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print a key: what it is limited to, how it was used. The key itself stays masked."""
    with opened_to_read(home) as (settings, database):
        user_id, key_id = find_key(database, place_of_secret(settings), key)
        found = read_key(database, user_id, key_id)
        if found is None:
            fail("no such API key")
    show({"user_id": user_id, **found}, as_json=as_json)


@keys.command("update")
def key_update(  # noqa: PLR0913, PLR0917 - each is an option.
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Whether it opens anything.")
    ] = None,
    expires_at: Annotated[
        str | None, typer.Option(help=f"When it ends; `{NEVER}` lifts the end.")
    ] = None,
    scope: Scopes = None,
    ip: Addresses = None,
    referrer: Referrers = None,
    model: Models = None,
    provider: Providers = None,
    max_requests: Most = None,
    cache_ttl_s: CacheTtl = None,
    cache_max_age_s: CacheAge = None,
    cache_threshold: CacheThreshold = None,
    cache_scope: CacheScope = None,
    lift: Annotated[
        list[str] | None, typer.Option(help=f"Limit to lift: {', '.join(LIFTED)}.")
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Change a key; a list that is given replaces the present one, the others stay."""
    limits = _lists(scope, ip, referrer, model, provider)
    members: dict[str, Any] = {"name": name, "is_active": active, MAX_REQUESTS: max_requests}
    members = {each: value for each, value in members.items() if value is not None}
    with commands_of(home) as (known, _):
        if cache := _cache(cache_ttl_s, cache_max_age_s, cache_threshold, cache_scope):
            members[CACHE] = cache
        for each in lift or ():
            if each in limits or each in members:
                message = f"{each} is given and lifted: do one of both"
                raise InvalidCommandError(message)
            if each in {MAX_REQUESTS, CACHE}:
                members[each] = None if each == MAX_REQUESTS else {}
            else:
                limits[each] = []
        if expires_at is not None:
            members["expires_at"] = None if expires_at == NEVER else to_iso(instant(expires_at))
        if not members and not limits:
            message = "nothing to change: name what the key shall be"
            raise InvalidCommandError(message)
        key_id, changed = known.change_key(key, members, limits)
        status = "changed" if changed else "unchanged"
        show({"key_id": key_id, "status": status}, as_json=as_json)


@keys.command("rotate")
def key_rotate(
    key: Annotated[str | None, typer.Argument(help="The key's id, or the key itself.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All keys of --user that open.")] = False,
    user: Annotated[str | None, typer.Option(help="Whose, with --all.")] = None,
    environment: Annotated[
        Environment | None, typer.Option(help="Of this one alone, with --all.")
    ] = None,
    grace_hours: Annotated[
        float, typer.Option(min=0, max=GRACE_HOURS_MAX, help="How long the old one still opens.")
    ] = 24.0,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write a key anew: its id, name and end stay; the new writing is shown this once."""
    if every == (key is not None) or every != (user is not None):
        fail("name a key, or give --all with --user")
    with commands_of(home) as (known, _):
        grace = timedelta(hours=grace_hours)
        if user is None:
            key_id, api_key, until = known.rotate_key(key or "", grace)
            show({"key_id": key_id, "api_key": api_key, "old_until": until}, as_json=as_json)
            return
        for made in known.rotate_all(user, grace, environment or ""):
            _tell(made, as_json=as_json)


@keys.command("delete")
def key_delete(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Delete a key: it opens nothing and is in no list; its events stay."""
    with commands_of(home) as (known, _):
        show({"key_id": known.delete_key(key), "status": "deleted"}, as_json=as_json)


@keys.command("revoke")
def key_revoke(
    key: Annotated[str, typer.Argument(help="The key's id, or the key itself.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Revoke a key; running gateways refuse it at once."""
    with commands_of(home) as (known, _):
        show({"key_id": known.revoke_key(key, reason), "status": "revoked"}, as_json=as_json)


def _tell(made: Written, *, as_json: bool) -> None:
    if as_json:
        show(asdict(made), as_json=True)
    else:
        sys.stdout.write(f"{made.key_id}  {made.name}  {made.api_key}\n")


def _state_of(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return "revoked"
    if not key["is_active"]:
        return "inactive"
    return f"ends {key['expiration_date']}" if key["expiration_date"] else "active"


def _cache(
    ttl_s: int | None, max_age_s: int | None, threshold: str | None, scope: Scope | None
) -> dict[str, Any]:
    """What was given of the cache; raises InvalidCommandError."""
    given: dict[str, Any] = {TTL: ttl_s, MAX_AGE: max_age_s}
    if threshold is not None or scope is not None:
        given[SEMANTIC] = {THRESHOLD: threshold, SCOPE: str(scope or Scope.KEY)}
    return read_key_cache({name: each for name, each in given.items() if each is not None})


def _lists(
    scope: list[str] | None,
    ip: list[str] | None,
    referrer: list[str] | None,
    model: list[str] | None,
    provider: list[str] | None,
) -> dict[str, list[str]]:
    """The lists that were given, by the domain's names; raises InvalidCommandError."""
    given = {ADDRESSES: ip, REFERRERS: referrer, MODELS: model, PROVIDERS: provider}
    limits = {name: each for name, each in given.items() if each}
    if scope:
        kinds: dict[str, list[str]] = {}
        for each in scope:
            kind, _, what = each.partition(":")
            kinds.setdefault(kind, []).append(what)
        limits[SCOPES] = sorted(scopes_of(kinds))
    return limits
