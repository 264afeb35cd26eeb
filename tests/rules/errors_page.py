"""The page of errors, from the code: every code that a caller can see, with what to do about it.

Status, code and type are read from the source's syntax, so that none is forgotten; what a code
means and what cures it is said here. A code without an entry, or an entry without a code, fails.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import edge.errors
from command_api.replies import failures
from command_api.serving import error_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SIDES = ("edge", "command_api", "query_api")
FIRST = {
    "bad_request": (400, edge.errors.INVALID_REQUEST),
    "unavailable": (503, edge.errors.SERVER),
}
"""The helpers whose first argument is the code: their status and type."""
BY_TABLE = {
    "edge/errors.py": {"bad_request", "unavailable"},
    "command_api/replies/failures.py": {"error", "error_in_stream"},
    "command_api/serving/error_handlers.py": {"_http_error"},
}
"""Functions that take their code from an argument or a table, which `of_tables` reads instead."""


class UnreadableError(Exception):
    """A code that is neither a literal nor one of a known table."""


@dataclass
class Told:
    """One code: the statuses and types it comes with, and the modules that say it."""

    statuses: set[int] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


def collect() -> dict[str, Told]:
    """Every code. Raises UnreadableError for a place that this cannot read."""
    found: dict[str, Told] = {}
    for module, status, code, kind in [*of_source(), *of_tables()]:
        told = found.setdefault(code, Told())
        told.statuses.add(status)
        told.kinds.add(kind)
        told.modules.add(module)
    return found


def of_tables() -> Iterator[tuple[str, int, str, str]]:
    """The codes that the source looks up: providers' failures, and the framework's own errors."""
    for status in failures.CODES:
        told = failures.failure_of_status("A provider", status, None).told
        yield "command_api/replies/failures.py", told.status, told.code, told.kind
    for status, code in error_handlers.CODES.items():
        yield "command_api/serving/error_handlers.py", status, code, edge.errors.INVALID_REQUEST
    yield "command_api/serving/error_handlers.py", 400, "http_error", edge.errors.INVALID_REQUEST


def of_source() -> Iterator[tuple[str, int, str, str]]:
    """The codes that stand in the source as literals."""
    for side in SIDES:
        for path in sorted((ROOT / side).rglob("*.py")):
            module = str(path.relative_to(ROOT))
            yield from _below(ast.parse(path.read_text()), module, "")


def _below(node: ast.AST, module: str, function: str) -> Iterator[tuple[str, int, str, str]]:
    """The errors made below a node of a module, inside the function of this name."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        function = node.name
    if isinstance(node, ast.Call):
        told = _of_call(node)
        if told is not None:
            yield (module, *told)
        elif _makes_error(node) and function not in BY_TABLE.get(module, ()):
            message = f"{module}:{node.lineno}: write the status and the code as literals"
            raise UnreadableError(message)
    for each in ast.iter_child_nodes(node):
        yield from _below(each, module, function)


def _makes_error(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in {"ApiError", *FIRST}


def _of_call(call: ast.Call) -> tuple[int, str, str] | None:
    """Status, code and type of an error that is made of literals."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    values = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
    if name in FIRST and values and isinstance(values[0], str):
        status, kind = FIRST[name]
        return status, values[0], _kind(call) or kind
    if name not in {"ApiError", "Told"} or len(values) < 2:
        return None
    if isinstance(values[0], int) and isinstance(values[1], str):
        return values[0], values[1], _kind(call) or edge.errors.INVALID_REQUEST
    return None


def _kind(call: ast.Call) -> str | None:
    """The value of the constant that is given as the type, by name or in its place in `Told`."""
    given = [each.value for each in call.keywords if each.arg == "kind"]
    if isinstance(call.func, ast.Name) and call.func.id == "Told":
        given += call.args[2:3]
    for each in given:
        if isinstance(each, ast.Name):
            return str(getattr(edge.errors, each.id))
    return None


LATER = "Try again after `Retry-After`"
MEANINGS = {
    "binary_frame": (
        "A frame of a realtime session is no text.",
        "Send events as JSON in frames of text; audio is in Base64.",
    ),
    "realtime_invalid_event": (
        "A frame of a realtime session is no event, or one that is not taken here.",
        "The message lists those that are; the session goes on.",
    ),
    "realtime_guarded": (
        "Guardrails look at the calls of the key, and cannot hear a realtime session.",
        "Use a chat, or ask whoever runs the gateway.",
    ),
    "realtime_not_offered": (
        "The model's provider has no realtime sessions here.",
        "Choose another; operators: `realtime = true` of a provider of OpenAI's kind.",
    ),
    "realtime_unpriced": (
        "An event of a realtime session asks for something that has no price here.",
        "Leave out what `param` names; the session goes on.",
    ),
    "realtime_websockets_only": (
        "Realtime sessions are served over WebSockets alone.",
        "[Connect to `/v1/realtime`](../guides/realtime.md).",
    ),
    "session_expired": (
        "A realtime session lasted as long as one may.",
        "Open another one; what was made is charged.",
    ),
    "session_idle": (
        "Nothing was said in a realtime session for too long.",
        "Open another one when there is something to say.",
    ),
    "too_many_responses": (
        "A realtime session has as many responses asked for as it may.",
        "Wait for one of them; the session goes on.",
    ),
    "too_many_sessions": (
        "The process has as many realtime sessions as it may.",
        "Repeat after `Retry-After`; nothing was charged.",
    ),
    "upgrade_required": (
        "The route is a WebSocket, and the request opens none.",
        "[Connect](../guides/realtime.md) with a client that speaks WebSockets.",
    ),
    "already_member": ("They are a member of the organisation.", "Give them another role instead."),
    "invitation_not_found": (
        "No open invitation of this id is for the caller's verified address.",
        "Verify the address that was invited; else ask for another invitation.",
    ),
    "last_owner": (
        "Without them an organisation had no owner.",
        "Hand it over with `POST /organisations/{id}/transfer`, or close it, first.",
    ),
    "member_not_found": ("The organisation has no such member.", "`GET` its members."),
    "member_role_too_small": (
        "What the caller is in the organisation does not allow it.",
        "Ask one of those whom the message names.",
    ),
    "organisation_changed": ("Others change the organisation at this moment.", "Try again."),
    "organisation_not_found": (
        "No organisation of this id is the caller's, or it was closed.",
        "`GET /organisations` lists those that are.",
    ),
    "personal_organisation": (
        "It is the caller's own, and has nobody else in it.",
        "Make another one with `POST /organisations`.",
    ),
    "project_not_found": (
        "No project of this id is the organisation's, or the caller's; or it was archived.",
        "`GET /organisations/{id}/projects` lists them.",
    ),
    "already_purchased": (
        "A referral code is shown before the first purchase, and the caller has made one.",
        "Nothing has to be done.",
    ),
    "already_referred": (
        "The caller came by a referral code already, and one counts.",
        "`GET /referral/stats` names it.",
    ),
    "invalid_cache_wish": (
        "`x-gatewayz-cache` or the `max-age` of `Cache-Control` says nothing that can be done.",
        "Send `on`, `off`, `refresh` or `ttl=N` ([cached answers](../guides/cached-answers.md)).",
    ),
    "not_cached": (
        "The call asked for a cached answer only, and there is none.",
        "Ask without `only-if-cached`.",
    ),
    "own_referral_code": ("The referral code is the caller's own.", "Give it to somebody else."),
    "referral_busy": ("Others use the referral code at this moment.", "Try again."),
    "referral_loop": (
        "Whose code it is came by the caller's, or by that of somebody who did.",
        "Nothing has to be done.",
    ),
    "referral_not_found": (
        "No user has this referral code, or who had it has left.",
        "Look for a slip of the hand: a code has 8 letters and digits.",
    ),
    "referral_same_origin": (
        "The code's owner, or another who used it, is known from the caller's network address.",
        "Claim it from your own network, with `POST /referral/claim`.",
    ),
    "referral_same_person": (
        "The code is of the same mailbox as the caller's address.",
        "Nothing has to be done.",
    ),
    "referral_used_up": (
        "As many have come by the code as may.",
        "Ask for another user's code.",
    ),
    "approval_not_found": (
        "There is no request of this id.",
        "`GET /admin/approvals?status=all` lists them.",
    ),
    "approval_over": (
        "The request was decided otherwise, or its time is over.",
        "Ask anew, with another `Idempotency-Key`.",
    ),
    "own_request": (
        "Nobody decides about their own request.",
        "Another admin has to; what was asked for at a shell is decided over HTTP.",
    ),
    "coupon_already_redeemed": (
        "The caller has used this coupon; it can be used once.",
        "`GET /coupons/history` tells when.",
    ),
    "coupon_changed": ("Others change the coupon at this moment.", "Try again."),
    "coupon_code_taken": (
        "A coupon has this code, or had it.",
        "Give another code.",
    ),
    "coupon_expired": (
        "The coupon stopped counting at its `valid_until`.",
        "`GET /coupons/available` lists those that count.",
    ),
    "coupon_inactive": (
        "An admin ended the coupon.",
        "`GET /coupons/available` lists those that count.",
    ),
    "coupon_not_assigned": ("The coupon is another user's.", "Sign in as that user."),
    "coupon_not_found": (
        "No coupon has this code, or this id.",
        "Look for a slip of the hand; `GET /coupons/available` lists codes.",
    ),
    "coupon_not_yet_active": (
        "The coupon counts from its `valid_from` on.",
        "Come back then.",
    ),
    "coupon_used_up": (
        "As many have redeemed the coupon as may.",
        "`GET /coupons/available` lists those that are left.",
    ),
    "invalid_coupon": (
        "No coupon can be so, or no code can; the message says why.",
        "Give what the message asks for.",
    ),
    "plan_not_found": (
        "There is no such plan, or the caller has none.",
        "`GET /plans` lists those there are.",
    ),
    "inbox_full": ("Stripe told more than is kept until it is handled.", "Stripe sends it again."),
    "invalid_event": ("A webhook's body is no event of Stripe's.", "Send Stripe's events alone."),
    "invalid_signature": (
        "A webhook is not signed by the endpoint's secret, or not within five minutes of now.",
        "Compare `GATEWAYZ_STRIPE_WEBHOOK_SECRETS` with the endpoint at Stripe, and the clocks.",
    ),
    "already_subscribed": (
        "The account has a subscription already.",
        "Change it: `POST /api/stripe/subscriptions/{subscription_id}/change`.",
    ),
    "still_subscribed": (
        "Who leaves would be charged on.",
        "End the subscription first: `POST /api/stripe/subscriptions/{subscription_id}/cancel`.",
    ),
    "no_saved_card": (
        "Nobody can be charged by themselves without a saved card.",
        "Save one: `POST /api/stripe/subscription-checkout` with `mode` `setup`.",
    ),
    "not_your_payment": ("The payment is another account's.", "Use a key of that account."),
    "price_not_offered": (
        "There is no such price to subscribe to, or it is of another product.",
        "`GET /api/stripe/subscription-tiers` lists them.",
    ),
    "subscription_not_active": (
        "The subscription is over, or not paid.",
        "Pay its invoice (`POST /api/stripe/customer-portal`), or begin another one.",
    ),
    "subscription_not_found": (
        "The account has no subscription of this id.",
        "`GET /api/stripe/subscriptions` lists them.",
    ),
    "payment_not_found": (
        "No payment, session or intent of this id is known.",
        "`GET /api/stripe/payments` lists the caller's.",
    ),
    "payment_not_paid": (
        "The payment that is to be refunded is not completed.",
        "`GET /api/stripe/payments/{id}` tells where it is.",
    ),
    "refund_too_large": (
        "More is to be refunded than is left of what was paid.",
        "Leave `amount` out to refund what is left.",
    ),
    "payment_refused": ("Stripe refuses the payment.", "The message has Stripe's own words."),
    "payment_too_old": (
        "The payment of this `Idempotency-Key` was begun a day ago, and Stripe never heard of it.",
        "Begin another one, under another key.",
    ),
    "payments_off": (
        "Nobody can pay here.",
        "The operator sets `GATEWAYZ_STRIPE_API_KEY`, or starts with `gatewayz up --demo`.",
    ),
    "payments_unavailable": (
        "Stripe is away, or refuses the gateway's key. Nothing was paid.",
        f"{LATER}, with the same `Idempotency-Key`.",
    ),
    "too_many_payments": (
        "The account began a hundred payments within a day that are not paid.",
        "Pay one of them, or wait.",
    ),
    "webhooks_off": (
        "Webhooks are not taken here.",
        "The operator sets `GATEWAYZ_STRIPE_WEBHOOK_SECRETS`.",
    ),
    "already_registered": (
        "A user has this address or this name.",
        "Sign in, or register another one.",
    ),
    "client_gone": ("The client hung up in the middle of its body.", "Send it whole."),
    "invalid_credentials": (
        "Address and password do not go together, or there is no such user.",
        "Try another password, or ask for a reset with `POST /auth/password-reset`.",
    ),
    "address_missing": (
        "Somebody new comes without an address that can be one.",
        "Verify an address at the provider, or give `email` where the route takes it.",
    ),
    "identity_changed": (
        "Somebody signs in with the same address at this moment.",
        "Try again.",
    ),
    "identity_not_found": (
        "No account of this provider opens the caller's.",
        "`GET /auth/identities` lists them.",
    ),
    "identity_not_linked": (
        "One side has not verified the address, or another one's word opens its account.",
        "Sign in as before; verify the address here and there; remove the other link.",
    ),
    "invalid_login_code": (
        "The code that a page came back with is unknown, used, or a minute old.",
        "Sign in anew.",
    ),
    "invalid_login_state": (
        "The sign-in was not begun in this browser, is over, or was done already.",
        "Begin anew with `GET /auth/oidc/{provider}/start`, with cookies.",
    ),
    "invalid_passkey": (
        "The passkey's answer does not hold: of another address, challenge, user or time.",
        "Ask for options anew, in a page of the gateway's own address.",
    ),
    "invalid_second_factor": (
        "The code, or the password in its place, is wrong, over, or was used before.",
        "Show the next code, or a recovery code.",
    ),
    "login_busy": ("Too many people begin to sign in at this moment.", f"{LATER}."),
    "login_not_set_up": (
        "The gateway does not know its own address.",
        "The operator sets `GATEWAYZ_PUBLIC_URL`.",
    ),
    "login_refused": (
        "The provider or the person refused; or a token does not hold, or was shown before.",
        "Sign in there anew.",
    ),
    "login_unavailable": (
        "The provider is away, or answers what cannot be read.",
        f"{LATER}; its operator finds the reason in the gateway's log.",
    ),
    "passkey_known": ("This passkey is registered already.", "Sign in with it."),
    "passkey_not_found": (
        "No passkey of this id is the caller's.",
        "`GET /auth/passkeys` lists them.",
    ),
    "passkeys_not_set_up": (
        "The gateway does not know its own address, to which passkeys belong.",
        "The operator sets `GATEWAYZ_PUBLIC_URL`.",
    ),
    "privy_not_set_up": (
        "No key is set by which Privy's tokens are verified.",
        "The operator sets `GATEWAYZ_PRIVY_APP_ID` and `GATEWAYZ_PRIVY_VERIFICATION_KEY`.",
    ),
    "provider_not_found": (
        "There is no login provider of this name here.",
        "`GET /auth/oidc` lists them.",
    ),
    "second_factor_changed": (
        "Somebody changed the second step at this moment.",
        "Look at it with `GET /auth/second-factor`, and try again.",
    ),
    "second_step_over": (
        "The second step is unknown, used, five minutes old, or of a password that was changed.",
        "Sign in anew with `POST /auth/login`.",
    ),
    "too_many_passkeys": ("The account has as many passkeys as may be.", "Remove one."),
    "totp_off": ("No authenticator is enrolled.", "Begin with `POST /auth/totp`."),
    "totp_on": ("An authenticator is enrolled already.", "Disable it first."),
    "invalid_mail_token": (
        "The mailed token is unknown, used, or over.",
        "Ask for another mail.",
    ),
    "invalid_token": ("The token is none that was given here.", "Sign in."),
    "no_session": (
        "An API key has no session to end.",
        "Send the access token of the session.",
    ),
    "refresh_token_reused": (
        "A refresh token came a second time, so somebody else may have it; the session has ended.",
        "Sign in.",
    ),
    "session_ended": ("The session was ended, or was not used for long.", "Sign in."),
    "session_not_found": (
        "No session of this id is the caller's.",
        "`GET /auth/sessions` lists them.",
    ),
    "user_gone": ("The user has left.", "Register anew."),
    "token_expired": (
        "The access token is over.",
        "Get the next one with `POST /auth/refresh`.",
    ),
    "too_many_attempts": (
        "More was tried from here, or with this address, than may be; wrong keys count, too.",
        f"{LATER}.",
    ),
    "call_not_found": (
        "No call of this id is the caller's.",
        "Take the id from `x-gatewayz-call-id`, and the key of the account that made the call.",
    ),
    "call_too_large": (
        "The most that it could cost is beyond what any call may.",
        "Ask for less: a lower `max_tokens`, a shorter prompt, fewer choices.",
    ),
    "catalog_stale": (
        "The provider's model list is too old to be trusted.",
        f"{LATER}; operators: [a provider down](../operating/provider-down.md).",
    ),
    "previous_response_not_found": (
        "`previous_response_id`, or a response before it, is no stored one of the caller's.",
        "Send its items as `input`.",
    ),
    "previous_responses_too_large": (
        "The responses up to `previous_response_id` are larger than a body may be.",
        "Begin anew, with what matters as `input`.",
    ),
    "previous_response_unfinished": (
        "`previous_response_id`, or one before it, runs in the background, or was lost there.",
        "Wait until `GET` tells that it is completed; begin anew where it failed.",
    ),
    "background_lost": (
        "The process that ran the response in the background ended before it was done.",
        "Read in the message what was charged; make it again.",
    ),
    "background_not_stored": (
        "A response can run in the background only where it is stored.",
        "Leave `store` out; operators: `GATEWAYZ_RESPONSE_DAYS` above 0.",
    ),
    "background_too_large": (
        "The response in the background, with its input, is longer than what is stored.",
        "Shorten it, or stream it without `background`; operators: `GATEWAYZ_RESPONSE_BYTES_MAX`.",
    ),
    "background_too_long": (
        "The response in the background took longer than it may.",
        "Lower `max_output_tokens`; operators: `GATEWAYZ_BACKGROUND_RUN_S`.",
    ),
    "provider_key_rejected": (
        "Your own key at a provider was used, and the provider did not accept it.",
        "Put another in its place: `PATCH /user/provider-keys/{id}`.",
    ),
    "provider_key_without_funds": (
        "Your own key at a provider was used, and it has no funds or quota left there.",
        "Add funds at the provider, or set `fallback`.",
    ),
    "provider_key_limited": (
        "Your own key at a provider was used, and the provider limits it.",
        "Call again after `Retry-After`, or set `fallback`.",
    ),
    "provider_key_unusable": (
        "Your own key at a provider cannot be opened or used here, and no other is taken for it.",
        "Store it anew, or disable it: `PATCH /user/provider-keys/{id}`.",
    ),
    "provider_key_not_found": (
        "There is no provider key with this id, or it is another's.",
        "`GET /user/provider-keys` lists yours.",
    ),
    "provider_key_exists": (
        "The project, or you, have a key for this provider already.",
        "Change or remove that one.",
    ),
    "provider_key_changed": (
        "Others change the provider key at this moment.",
        "Try again.",
    ),
    "too_many_provider_keys": (
        "The organisation has as many provider keys as it may have.",
        "Remove one; operators: `GATEWAYZ_PROVIDER_KEYS_PER_ORGANISATION_MAX`.",
    ),
    "provider_takes_no_key": (
        "Calls to this provider cannot use a key of yours: it needs none, or more than one secret.",
        "Call it with the house's key.",
    ),
    "provider_key_not_checkable": (
        "The provider has no list of models here that a key could be checked by.",
        "Make a small call with it.",
    ),
    "provider_key_checks_busy": (
        "Too many provider keys are being checked at this moment.",
        "Try again after `Retry-After`.",
    ),
    "batch_ended": ("The batch has ended, so there is nothing to cancel.", "Read its files."),
    "batch_not_found": (
        "There is no batch with this id, or it is another account's.",
        "`GET /v1/batches` lists yours.",
    ),
    "too_many_batches": (
        "As many batches of the account have not ended as may.",
        "Wait until one ends, or cancel one; operators: `GATEWAYZ_BATCHES_PER_ACCOUNT_MAX`.",
    ),
    "file_not_found": (
        "There is no file with this id: it was deleted, has expired, or is another account's.",
        "`GET /v1/files` lists yours.",
    ),
    "file_in_use": (
        "A batch that has not ended reads the file.",
        "Wait until it ends, or cancel it.",
    ),
    "file_not_stored": (
        "The data key of the account's owner was destroyed: nothing can be stored.",
        "Make a new user.",
    ),
    "file_gone": ("The upload took so long that it was purged.", "Send it again."),
    "too_many_files": (
        "The account has as many files as it may.",
        "Delete some; operators: `GATEWAYZ_FILES_PER_ACCOUNT_MAX`.",
    ),
    "too_many_file_bytes": (
        "All files of the account would hold more than they may.",
        "Delete some; operators: `GATEWAYZ_FILES_BYTES_PER_ACCOUNT_MAX`.",
    ),
    "range_not_satisfiable": ("The range begins behind the file's end.", "Ask for less."),
    "too_many_background_responses": (
        "As many responses run in the background as may, of the account or in the process.",
        "Wait for `Retry-After`, or cancel one.",
    ),
    "response_not_in_background": (
        "Only a response that was made with `background: true` can be cancelled.",
        "End any other by closing its connection.",
    ),
    "response_not_streamed": (
        "Only a response made with `background: true` and `stream: true` is streamed again.",
        "Get it without `stream`.",
    ),
    "response_not_found": (
        "No stored response of this id is the caller's.",
        "Store it: leave `store` out; its time is `GATEWAYZ_RESPONSE_DAYS`.",
    ),
    "too_many_items": ("`input` holds more items than may be.", "Leave out the earliest ones."),
    "too_many_parts": ("`input` holds more parts than may be.", "Join texts."),
    "unsupported_member": (
        "The member that `param` names is not served here.",
        "See the message for what to send in its place.",
    ),
    "empty_input": ("`input` has nothing in it.", "Send a text, or leave empty ones out."),
    "empty_messages": ("`messages` has nothing in it.", "Send at least one message."),
    "empty_prompt": ("`prompt` is empty.", "Say what the image shows."),
    "extra_unpriced": (
        "The member that `param` names costs extra, and has no price.",
        "Leave it out; operators: price or allow it in [the file](../guides/providers.md).",
    ),
    "invalid_header": (
        "`anthropic-version` or `anthropic-beta` is none that can be one.",
        "Send a date as version, and betas with commas between them.",
    ),
    "headers_timeout": (
        "The headers came too slowly; nothing was begun.",
        "Send the request again.",
    ),
    "headers_too_large": (
        "The head of a request, or its trailers, are above `GATEWAYZ_HEAD_BYTES_MAX`.",
        "Send fewer headers, or shorter ones.",
    ),
    "http_error": ("The framework refused the request.", "See the message."),
    "gateway_stopping": (
        "The process that served the call ends; the message says whether anything was charged.",
        "Repeat after `Retry-After`: another process answers.",
    ),
    "overloaded": (
        "There are more calls than the process can serve, and calls of other plans come first.",
        "Repeat after `Retry-After`; nothing was held or charged.",
    ),
    "providers_busy": (
        "Every provider that may serve the call has as many calls as it takes, for too long.",
        "Repeat after `Retry-After`; nothing was charged.",
    ),
    "house_loss_limit": (
        "The account's calls cost more today than it could pay.",
        "Try again tomorrow (UTC); set a `max_tokens`, or add credits.",
    ),
    "idempotency_in_progress": (
        "The first request with this key still runs; `call_id` names it.",
        "Repeat after `Retry-After`: the answer will be the first one's.",
    ),
    "idempotency_key_reused": (
        "The key came with another body before.",
        "Use a new key for a new request.",
    ),
    "idempotent_reply_gone": (
        "The key's call was answered and charged, its reply is no longer kept.",
        "Read `GET /v1/calls/{call_id}`; a new call needs a new key.",
    ),
    "guardrail_blocked": (
        "A guard (`guard`) lets the prompt through to nobody, or the answer, which is charged.",
        "Ask otherwise ([guardrails](../guides/guardrails.md)).",
    ),
    "guardrail_failed": (
        "A guard could not look, and by its rule lets nothing through that it did not see.",
        "Send less text, or ask who runs the gateway.",
    ),
    "insufficient_credits": (
        "The credits do not cover the most that it can cost; a stream ends where they end.",
        "Add credits, or ask for at most `max_tokens_affordable`.",
    ),
    "internal_error": (
        "A defect of ours; the message says whether anything was charged.",
        "Try again, and report it.",
    ),
    "invalid_api_key": (
        "No key, an unknown or a revoked one.",
        "Send `Authorization: Bearer KEY`.",
    ),
    "forbidden": (
        "The caller's role may not do this.",
        "Ask an administrator of the house.",
    ),
    "last_admin": (
        "Nobody could change roles any more.",
        "Make another admin first.",
    ),
    "own_role": (
        "Nobody changes their own role.",
        "Ask another admin; operators: `gatewayz role set`.",
    ),
    "role_refused": (
        "The change of role cannot be made as it was asked for.",
        "The message says why.",
    ),
    "unknown_role": ("There is no such role.", "The message lists them."),
    "api_key_not_found": ("The caller has no API key of this id.", "Name one of your own."),
    "user_not_found": (
        "There is no user of this id.",
        "`gatewayz user show` finds a user's id by the address.",
    ),
    "insufficient_scope": (
        "The API key lacks the scope that `scope` names.",
        "Use another key, or give this one the scope.",
    ),
    "ip_not_allowed": (
        "The API key's `ip_allowlist` does not hold the client's address.",
        "Call from one of the list, or add this one; proxies stand in `GATEWAYZ_TRUSTED_PROXIES`.",
    ),
    "referrer_not_allowed": (
        "The API key is for pages of its `domain_referrers`; `Origin` and `Referer` name no other.",
        "Call from a page of one of the domains, or use a key without the list.",
    ),
    "model_not_allowed": (
        "The API key's list of models does not hold the model.",
        "Call one of `allowed_models`, or change the key's list.",
    ),
    "provider_not_allowed": (
        "None of the providers that the API key is limited to serves the model.",
        "Call a model of theirs, or change the key's list.",
    ),
    "key_name_taken": ("Another key of yours has the name.", "Give another name."),
    "too_many_keys": (
        "You have as many keys as one may have (`GATEWAYZ_KEYS_PER_USER_MAX`).",
        "Delete one that is not used any more.",
    ),
    "beyond_own_limits": (
        "The key that asks would give more than it has itself.",
        "Stay within its lists, or ask with a key that is not limited.",
    ),
    "last_key": (
        "Without the key nobody could manage your keys any more.",
        "Make another one first.",
    ),
    "people_busy": (
        "Too many look-ups and changes of users, keys and limits wait in the process already.",
        "Try again after `Retry-After`.",
    ),
    "key_changed": (
        "Somebody else changed the key at the same moment.",
        "Look at it, and try again.",
    ),
    "confirmation_needed": (
        "Deleting a key is for ever, and was not confirmed.",
        "Send the confirmation that the message names.",
    ),
    "key_in_url": (
        "An API key stands in the address, which servers and browsers write down.",
        "Send it as `Authorization: Bearer KEY`, and rotate it.",
    ),
    "invalid_idempotency_key": ("The header is no usable key.", "See the message for its form."),
    "invalid_json": ("The body is not JSON.", "The message says where it breaks off."),
    "invalid_page": ("`limit` or `offset` is out of range.", "Stay within what the message says."),
    "invalid_request": ("A parameter cannot be used.", "The message names it."),
    "invalid_text": ("NUL or half a surrogate pair in a text.", "Send valid Unicode."),
    "invalid_type": ("A member has the wrong type.", "`param` names it."),
    "invalid_value": (
        "A member's value is out of range.",
        "`param` names it, the message the range.",
    ),
    "invalid_window": ("The ranking has no such window.", "Stay within what the message says."),
    "ledger_error": (
        "The ledger refused the call; nothing was charged.",
        "A defect: report it with the call's id; operators: see the log.",
    ),
    "ledger_unavailable": (
        "No hold can be placed, so the call was not made; nothing was charged.",
        f"{LATER}; operators: [the ledger unreachable](../operating/ledger-unreachable.md).",
    ),
    "malformed_request": (
        "What was sent is not HTTP/1.1.",
        "Look at the client, and at the proxy before the gateway.",
    ),
    "method_not_allowed": ("The path has no such method.", "See [the routes](routes.md)."),
    "missing_required_parameter": ("A member is missing.", "`param` names it: send it."),
    "missing_model": ("`model` is empty.", "`GET /v1/models` lists what there is."),
    "model_not_found": (
        "Nobody offers this model here.",
        "`GET /v1/models` lists what is offered.",
    ),
    "model_unpriced": (
        "The model is listed, but nobody knows its price.",
        "Take another; operators: give its price in [the providers file](../guides/providers.md).",
    ),
    "model_in_maintenance": (
        "Everybody who could be asked for the model is in maintenance, which an operator set.",
        f"{LATER}, or name another model ([maintenance](../operating/health.md)).",
    ),
    "no_maintenance": (
        "There is no maintenance of this model or gateway to clear, or it is over.",
        "`GET /availability/status` lists what lasts; `*` with `gateway` is a whole gateway.",
    ),
    "maintenance_changed": (
        "Somebody else changes maintenance, or the monitor, at this moment.",
        "Try again.",
    ),
    "no_model_list": (
        "The provider has no list of models that could be fetched.",
        "Its models stand in the providers file.",
    ),
    "list_unavailable": (
        "A provider's list of models cannot be had; the old one stays.",
        f"{LATER}.",
    ),
    "modelz_unavailable": ("Modelz's list cannot be had.", f"{LATER}."),
    "no_provider_fits": (
        "`provider` in the body leaves nobody who offers the model.",
        "Allow more providers, or raise `max_price`.",
    ),
    "not_found": ("There is no such path.", "See [the routes](routes.md)."),
    "audio_too_long": (
        "The header of a WAV tells more minutes than are taken.",
        "Send it in parts; operators: raise `GATEWAYZ_AUDIO_MINUTES_MAX`.",
    ),
    "invalid_image": (
        "A file of a form is no picture that can be read, or one of too many pixels.",
        "Send a PNG, JPEG, WebP or GIF, whole; see [images](../guides/images.md).",
    ),
    "invalid_form": (
        "The form with a file cannot be read, or lacks something.",
        "The message says what; see [audio](../guides/audio.md), [batches](../guides/batches.md).",
    ),
    "model_of_another_kind": (
        "The model neither judges nor ranks, and the route wants one that does.",
        "See [models that judge](../guides/moderations-and-rerank.md#for-operators).",
    ),
    "operation_unpriced": (
        "The model has no price for what this route makes, such as images on a model of text.",
        "Take another; operators: give its price in [the providers file](../guides/providers.md).",
    ),
    "projection_lagging": (
        "The balance or statement does not have the caller's own writes yet.",
        f"{LATER}; operators: [read models lagging](../operating/read-models-lagging.md).",
    ),
    "period_too_long": (
        "There are too many lines between `from` and `to` to be summed, or exported at once.",
        "Ask for a shorter time; of a statement the message says where the next may begin.",
    ),
    "account_not_found": (
        "There is no account with this id.",
        "`gatewayz user list` and `gatewayz org list` name all accounts.",
    ),
    "statement_not_found": (
        "No statement with this number was issued, or it is not the caller's.",
        "`GET /user/statements`, or `/finance/statements`, lists those there are.",
    ),
    "statement_too_long": (
        "The statement has more lines than a PDF may have.",
        "Ask for it as CSV or JSON.",
    ),
    "quota_exceeded": (
        "A quota (of key, user, account or trial) has no room for it; a stream ends where it ends.",
        "Ask for less, try again after `Retry-After` where there is one, or have the limit raised.",
    ),
    "trial_expired": (
        "The trial has ended, and the account has no other credits.",
        "Add credits.",
    ),
    "unknown_parameter": (
        "The query, body or form has a parameter that the route does not know.",
        "Leave it out, or use one that the message names.",
    ),
    "read_timeout": (
        "A query took longer than `GATEWAYZ_READ_STATEMENT_S`.",
        f"{LATER}, or ask for a shorter time.",
    ),
    "invalid_message": (
        "A body at `/mcp` is no single message of JSON-RPC 2.0 (its code -32600); a batch is none.",
        "Send one request or notification, as [the protocol](../guides/mcp.md) has it.",
    ),
    "mcp_busy": ("Too many messages are served at `/mcp` at this moment.", f"{LATER}."),
    "not_acceptable": (
        "`Accept` names neither `application/json` nor `text/event-stream`.",
        "Name both, as the protocol's clients do.",
    ),
    "origin_not_allowed": (
        "A page of an origin that may not call sent this to `/mcp`.",
        "Name the origin in `GATEWAYZ_CORS_ORIGINS`.",
    ),
    "unsupported_media_type": (
        "The body is not said to be JSON.",
        "Send `Content-Type: application/json`.",
    ),
    "reads_busy": (
        "Too many reads of this kind wait already (`GATEWAYZ_READS_WAITING_MAX`).",
        f"{LATER}.",
    ),
    "read_model_unavailable": (
        "The store of these figures (Redis) is away.",
        f"{LATER}.",
    ),
    "request_timeout": ("The body came too slowly; nothing was charged.", "Send it again."),
    "request_too_large": ("The body is above the limit.", "Send less text, or smaller images."),
    "too_many_blocks": (
        "The messages hold more blocks than may be.",
        "Send fewer, or longer ones.",
    ),
    "too_many_bodies": (
        "The requests under way fill the room for large bodies.",
        f"{LATER}; operators: raise `GATEWAYZ_BODIES_BYTES_MAX`.",
    ),
    "too_many_connections": (
        "Every connection that a process may have waits for an answer.",
        f"{LATER}; operators: raise `GATEWAYZ_CONNECTIONS_MAX`.",
    ),
    "too_many_headers": ("More headers or trailers than a request may have.", "Send fewer."),
    "too_many_messages": ("`messages` is above the limit.", "Send fewer."),
    "too_many_pipelined": (
        "More requests wait on a connection than may.",
        "Read the answers before sending more.",
    ),
    "unknown_gateway": ("`gateway` names none there is.", "The message lists them."),
    "unknown_provider": (
        "`provider` names none that is configured.",
        "`GET /v1/provider` lists them.",
    ),
    "unsupported_by_provider": (
        "The provider has no way to do what was asked; it was not asked.",
        "Leave the member out, or take another model.",
    ),
    "upstream_bad_request": ("The provider refused the body.", "The message is the provider's."),
    "upstream_error": (
        "The provider failed, broke off, or refused the gateway's own key.",
        "Allow other providers; operators: [a provider down](../operating/provider-down.md).",
    ),
    "key_not_found": (
        "The key is not yours, or was revoked.",
        "`GET /user/rate-limits` lists them.",
    ),
    "limit_above_ceiling": (
        "The limit is above what the operator set, or the user's `plan` allows; `ceiling` says it.",
        "Ask for less.",
    ),
    "rate_limit_exceeded": (
        "A [rate limit](../concepts/rate-limits.md) is spent; the message names it.",
        "Try again after `Retry-After`. Without one the request alone is too much: ask for less.",
    ),
    "upstream_not_found": ("The provider does not know the model.", "Take another."),
    "upstream_rate_limited": ("The provider limits us.", f"{LATER}."),
    "upstream_request_too_large": ("The provider takes less.", "Send less."),
    "upstream_timeout": ("The provider took too long.", "Try again, or take another model."),
    "upstream_unavailable": (
        "The provider is overloaded or away.",
        "Try again after `Retry-After`, where it says one.",
    ),
    "upstream_unprocessable": ("The provider refused the body.", "The message is the provider's."),
    "url_too_long": ("The URL is above the limit.", "Send what is long in the body."),
}
"""What a code means, and what whoever sees it can do."""

HEAD = """# Errors

<!-- Written by `make reference` from the source; tests/rules/errors_page.py has the words. -->

Below `/v1` an error comes in OpenAI's envelope, elsewhere in our own:

```json
{"error": {"message": "...", "type": "server_error", "param": null, "code": "catalog_stale"}}
```

```json
{"detail": "...", "code": "not_found"}
```

Programs tell errors apart by `code`, which stays; the message is for people and says what to do.
Some have further members: amounts with `insufficient_credits`, `call_id` with those of idempotency.
An error after a stream has begun comes as its last event, in the same envelope, before `[DONE]`.
Codes that begin with `upstream_` tell of a provider's failure; such a call is charged only for
output that had begun.

| Code | Status | Type (below `/v1`) | Meaning | What to do | Said by |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page. Raises UnreadableError, and KeyError for a code without a meaning."""
    rows = []
    for code, told in sorted(collect().items()):
        meaning, cure = MEANINGS[code]
        statuses = ", ".join(str(each) for each in sorted(told.statuses))
        kinds = ", ".join(f"`{each}`" for each in sorted(told.kinds))
        modules = ", ".join(f"`{each}`" for each in sorted(told.modules))
        rows.append(f"| `{code}` | {statuses} | {kinds} | {meaning} | {cure} | {modules} |\n")
    return HEAD + "".join(rows)
