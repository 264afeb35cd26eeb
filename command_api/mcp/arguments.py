"""What each tool takes: the schema that agents are shown is made of what checks their arguments."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from command_api.catalog.routes import Modality
from command_api.catalog.view import Direction, SortBy
from edge.body import NAME_CHARACTERS_MAX
from edge.replies import OFFSET_MAX

PAGE, PAGE_MAX = 20, 100
"""Rows of a page: without a word, and at most. An agent reads each of them."""
WORDS_CHARACTERS_MAX = 200
TOKENS_MAX = 10**9
POSITION_MAX = 2**63 - 1
Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS_MAX)]
Price = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,12})?$")]
"""USD as a decimal text: no float touches money."""
Tokens = Annotated[int, Field(ge=0, le=TOKENS_MAX)]


class Arguments(BaseModel):
    """The arguments of a tool; what is unknown or of another type is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    PATH: ClassVar[str]
    """The route that the tool asks."""

    def path(self) -> str:
        """The path, with what of the arguments stands in it."""
        return self.PATH

    def query(self) -> str:
        """The rest of the arguments, as the route reads them."""
        return urlencode(self.model_dump(exclude_none=True))

    @classmethod
    def schema_(cls) -> dict[str, Any]:
        """JSON Schema (2020-12), as a tool's `inputSchema`."""
        made = cls.model_json_schema()
        made.pop("description", None)
        return made


class ListModels(Arguments):
    """GET /v1/models/search."""

    PATH = "/v1/models/search"
    q: Annotated[
        str,
        Field(
            max_length=WORDS_CHARACTERS_MAX,
            description="Words that must all be in the model's id, name or description.",
        ),
    ] = ""
    modality: Modality | None = None
    gateway: Annotated[
        Name | None, Field(description="A provider's name: only what it offers.")
    ] = None
    min_context: Annotated[Tokens | None, Field(description="Tokens of context.")] = None
    max_context: Annotated[Tokens | None, Field(description="Tokens of context.")] = None
    min_price: Annotated[Price | None, Field(description="USD per million input tokens.")] = None
    max_price: Annotated[Price | None, Field(description="USD per million input tokens.")] = None
    sort_by: SortBy = "price"
    order: Direction = "asc"
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE
    offset: Annotated[int, Field(ge=0, le=OFFSET_MAX)] = 0


class GetModel(Arguments):
    """GET /models/{model_id}."""

    PATH = "/models/"
    id: Annotated[Name, Field(description="The model's id, as list_models tells it.")]
    gateway: Annotated[
        Name | None, Field(description="A provider's name: its own offer stands first.")
    ] = None

    def path(self) -> str:
        """Ids may hold slashes."""
        return f"{self.PATH}{self.id}"

    def query(self) -> str:
        """The provider."""
        return urlencode({} if self.gateway is None else {"gateway": self.gateway})


class GetBalance(Arguments):
    """GET /user/balance."""

    PATH = "/user/balance"


class ListCalls(Arguments):
    """GET /v1/calls."""

    PATH = "/v1/calls"
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE
    before: Annotated[
        int | None,
        Field(
            ge=1,
            le=POSITION_MAX,
            description="`next_before` of the page before: what follows it.",
        ),
    ] = None


class GetCall(Arguments):
    """GET /v1/calls/{id}."""

    PATH = "/v1/calls/"
    id: Annotated[
        Name, Field(description="The call's id: of list_calls, or a reply's x-gatewayz-call-id.")
    ]

    def path(self) -> str:
        """The call's own."""
        return f"{self.PATH}{self.id}"

    def query(self) -> str:
        """Nothing more."""
        return ""


class FindCall(Arguments):
    """GET /v1/calls with a reply's id."""

    PATH = "/v1/calls"
    completion_id: Annotated[Name, Field(description="The `id` of the reply, such as chatcmpl-….")]
