"""The tools: what each is for, the route it asks, and what of the answer an agent may rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.mcp.arguments import (
    Arguments,
    FindCall,
    GetBalance,
    GetCall,
    GetModel,
    ListCalls,
    ListModels,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
MAYBE_TEXT = {"type": ["string", "null"]}
MAYBE_NUMBER = {"type": ["integer", "null"]}
NANO = {"type": "integer", "description": "Billionths of a USD, exact."}
USD = {"type": "string", "description": "The same as a decimal text."}


def _object(**members: dict[str, Any]) -> dict[str, Any]:
    """An object that has these members; a route may tell more."""
    return {"type": "object", "properties": members, "required": list(members)}


def _rows(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


OFFER = _object(id=TEXT, gateway=TEXT, context_length=MAYBE_NUMBER, price_version=TEXT)
STORY = _object(
    id=TEXT,
    object={"const": "call"},
    status={"enum": ["held", "settled", "voided", "expired"]},
    model=TEXT,
    provider=TEXT,
    held_nano_usd=NANO,
    charged_nano_usd=NANO,
    charged_usd=USD,
    usage={"type": ["object", "null"]},
    price={"type": "object"},
    arithmetic={"type": ["object", "null"]},
    attempts=_rows({"type": "object"}),
    events=_rows({"type": "object"}),
)


class Tool(NamedTuple):
    """One tool; all of them read."""

    title: str
    about: str
    arguments: type[Arguments]
    output: dict[str, Any]
    missing: str = "This route told something else than this tool does."
    """What to do where the answer has another form than `output`: a name may mean several."""

    def tells(self, answer: object) -> bool:
        """Whether an answer has the members that the output promises, by their names."""
        return isinstance(answer, dict) and all(name in answer for name in self.output["required"])


TOOLS: Mapping[str, Tool] = {
    "list_models": Tool(
        "List models",
        "Searches the catalog: models with all their offers, prices in USD for each token.",
        ListModels,
        _object(
            data=_rows(_object(id=TEXT, offers=_rows(OFFER))),
            meta=_object(total=NUMBER, limit=NUMBER, offset=NUMBER, returned=NUMBER),
        ),
    ),
    "get_model": Tool(
        "Get a model",
        "One model with every offer, its prices and the version of each price.",
        GetModel,
        _object(id=TEXT, object={"const": "model"}, offers=_rows(OFFER)),
        "This names a developer, not one model: use list_models with q.",
    ),
    "get_balance": Tool(
        "Get the balance",
        "The credits of the key's account: available, held by calls under way, settled, and each "
        "lot with its expiry.",
        GetBalance,
        _object(
            available_nano_usd=NANO,
            available_usd=USD,
            held_nano_usd=NANO,
            settled_nano_usd=NANO,
            owed_nano_usd=NANO,
            position=NUMBER,
            lots=_rows(
                _object(
                    id=TEXT,
                    kind=TEXT,
                    granted_nano_usd=NANO,
                    available_nano_usd=NANO,
                    expires_at=MAYBE_TEXT,
                )
            ),
        ),
    ),
    "list_calls": Tool(
        "List calls",
        "The account's calls that ended, the newest first: how, at whom, and what it did to the "
        "balance. get_call has the whole story of one.",
        ListCalls,
        _object(
            data=_rows(
                _object(
                    id=TEXT,
                    status=TEXT,
                    provider=MAYBE_TEXT,
                    model=MAYBE_TEXT,
                    posted_nano_usd=NANO,
                    posted_usd=USD,
                    position=NUMBER,
                    booked_at=TEXT,
                )
            ),
            has_more={"type": "boolean"},
            next_before=MAYBE_NUMBER,
        ),
    ),
    "get_call": Tool(
        "Get a call's story",
        "What was held, used and charged for one call, with each term of the arithmetic, every "
        "attempt and every event.",
        GetCall,
        STORY,
    ),
    "find_call": Tool(
        "Find a call by its reply",
        "The same story, found by the `id` that the reply of the call had.",
        FindCall,
        STORY,
        "This is no id of a reply.",
    ),
}
