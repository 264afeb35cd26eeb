"""The tools of /mcp, beside the routes that they ask."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema

from command_api.mcp.tools import TOOLS
from tests.command_api.mcp.asking import call, new, old

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

MOMENTARY = {"timestamp"}


def asked(gateway: RunningGateway, user: Any, path: str) -> str:
    """What a route answers, as it stands."""
    with gateway.client(user) as client:
        got = client.get(path)
    assert got.status_code == 200
    return got.text


def plain(text: str) -> Any:
    """A body without what changes by the moment; amounts as they are written."""
    found = json.loads(text, parse_float=Decimal)
    return {name: value for name, value in found.items() if name not in MOMENTARY}


def test_each_tool_answers_what_its_route_answers(gateway: RunningGateway) -> None:
    """The whole of it, as its output schema says; the text is the same bytes, and so are amounts
    (P4, rule: contract).
    """
    user = gateway.user()
    made = gateway.chat(user, {})
    call_id, reply_id = made.headers["x-gatewayz-call-id"], made.json()["id"]
    for name, arguments, path in (
        ("list_models", {"q": "m", "limit": 2}, "/v1/models/search?q=m&limit=2"),
        ("get_model", {"id": "local/m"}, "/models/local/m"),
        ("get_balance", {}, "/user/balance"),
        ("list_calls", {"limit": 5}, "/v1/calls?limit=5"),
        ("get_call", {"id": call_id}, f"/v1/calls/{call_id}"),
        ("find_call", {"completion_id": reply_id}, f"/v1/calls?completion_id={reply_id}"),
    ):
        result = call(gateway, user, name, **arguments)
        assert result["isError"] is False, result
        text = result["content"][0]["text"]
        left, right = plain(text), plain(asked(gateway, user, path))
        assert left == right, name
        jsonschema.validate(result["structuredContent"], TOOLS[name].output)
        modern = new(gateway, user, "tools/call", name=name, arguments=arguments)
        assert modern.status_code == 200
        answer = modern.json()["result"]
        assert (answer["resultType"], answer["isError"]) == ("complete", False)
        # The very bytes of the route stand in the reply, with every digit.
        assert f'"structuredContent":{answer["content"][0]["text"]}' in modern.text
    assert '"credits":9.9' in asked(gateway, user, "/user/balance")


def test_calls_are_paged(gateway: RunningGateway) -> None:
    """The newest first, none twice, none left out; another user's are not there
    (rule: contract, rule: access).
    """
    user, other = gateway.user(), gateway.user()
    made = [gateway.chat(user, {}).headers["x-gatewayz-call-id"] for _ in range(5)]
    gateway.chat(other, {})
    seen, before = list[str](), None
    while True:
        more: dict[str, Any] = {} if before is None else {"before": before}
        page = call(gateway, user, "list_calls", limit=2, **more)["structuredContent"]
        seen += [each["id"] for each in page["data"]]
        assert all(each["status"] == "settled" for each in page["data"])
        before = page["next_before"]
        assert page["has_more"] is (before is not None)
        if before is None:
            break
    assert seen == made[::-1]


def test_what_is_others_is_not_there(gateway: RunningGateway) -> None:
    """By its id, or by its reply's; as the route says it (rule: access, rule: refuse clearly)."""
    owner, other = gateway.user(), gateway.user()
    made = gateway.chat(owner, {})
    for name, arguments in (
        ("get_call", {"id": made.headers["x-gatewayz-call-id"]}),
        ("get_call", {"id": "../balance"}),
        ("get_call", {"id": "x?completion_id=y"}),
        ("get_call", {"id": "%2e%2e/user"}),
        ("find_call", {"completion_id": made.json()["id"]}),
        ("get_model", {"id": "../user/balance"}),
        ("get_model", {"id": "nobody/nothing"}),
    ):
        result = call(gateway, other, name, **arguments)
        assert result["isError"] is True
        assert "structuredContent" not in result
        assert "held" not in result["content"][0]["text"]
    assert call(gateway, other, "list_calls")["structuredContent"]["data"] == []


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("list_models", {"limit": 101}, "limit"),
    ("list_models", {"limit": 0}, "limit"),
    ("list_models", {"limit": -1}, "limit"),
    ("list_models", {"limit": "5"}, "limit"),
    ("list_models", {"limit": True}, "limit"),
    ("list_models", {"limit": 1.5}, "limit"),
    ("list_models", {"offset": 10**15}, "offset"),
    ("list_models", {"q": "x" * 201}, "q"),
    ("list_models", {"q": None}, "q"),
    ("list_models", {"min_price": "1e400"}, "min_price"),
    ("list_models", {"min_price": -1}, "min_price"),
    ("list_models", {"modality": "smell"}, "modality"),
    ("list_models", {"nothing": 1}, "nothing"),
    ("list_models", {"gateway": "nobody"}, "nobody"),
    ("get_model", {}, "id"),
    ("get_model", {"id": ""}, "id"),
    ("get_model", {"id": "m" * 257}, "id"),
    ("get_model", {"id": ["local/m"]}, "id"),
    ("get_balance", {"account_id": "x"}, "account_id"),
    ("list_calls", {"before": 0}, "before"),
    ("list_calls", {"before": 2**63}, "before"),
    ("list_calls", {"before": 10**30}, "before"),
    ("get_call", {"id": 7}, "id"),
    ("get_call", {"id": "no-call"}, "no-call"),
    ("find_call", {"completion_id": "x" * 257}, "completion_id"),
    ("find_call", {f"a{n}": n for n in range(2_000)}, "a1"),
]


def test_arguments_that_cannot_be_are_told(gateway: RunningGateway) -> None:
    """In the tool's result, so that the agent can mend them, and shortly
    (rule: refuse clearly, rule: bounded).
    """
    user = gateway.user()
    for name, arguments, named in WRONG:
        result = call(gateway, user, name, **arguments)
        assert result["isError"] is True, (name, arguments)
        text = result["content"][0]["text"]
        assert named in text and len(text) < 2_000, (name, arguments, text)


def test_a_developer_is_no_model(gateway: RunningGateway) -> None:
    """The route lists a developer's models; the tool promises one (rule: refuse clearly)."""
    with gateway.client(gateway.user()) as client:
        listed = client.get("/v1/models/search?limit=100").json()["data"]
        names = {each["id"].partition("/")[0] for each in listed if "/" in each["id"]}
        lists = [name for name in sorted(names) if "models" in client.get(f"/models/{name}").json()]
    result = call(gateway, gateway.user(), "get_model", id=lists[0])
    assert result["isError"] is True
    assert "list_models" in result["content"][0]["text"]


def test_tools_are_described(gateway: RunningGateway) -> None:
    """All read, none takes what it does not name, and each schema is one (rule: contract)."""
    tools = old(gateway, gateway.user(), "tools/list")["result"]["tools"]
    assert [each["name"] for each in tools] == list(TOOLS)
    for each in tools:
        hints = each["annotations"]
        assert (hints["readOnlyHint"], hints["destructiveHint"]) == (True, False)
        assert each["inputSchema"]["additionalProperties"] is False
        for schema in (each["inputSchema"], each["outputSchema"]):
            assert schema["type"] == "object"
            jsonschema.Draft202012Validator.check_schema(schema)
    page = next(each for each in tools if each["name"] == "list_calls")["inputSchema"]
    assert page["properties"]["limit"]["maximum"] == 100


def test_calls_of_tools_are_counted(gateway: RunningGateway) -> None:
    """By tool and outcome; a name that is none is no label (rule: observable, rule: bounded)."""
    user = gateway.user()
    call(gateway, user, "get_balance")
    call(gateway, user, "get_balance", x=1)
    old(gateway, user, "tools/call", {"name": "evil\nname", "arguments": {}})
    with gateway.client(user) as client:
        text = client.get("/metrics").text
    assert 'gatewayz_mcp_tool_calls_total{outcome="ok",tool="get_balance"} 1.0' in text
    assert 'gatewayz_mcp_tool_calls_total{outcome="refused",tool="get_balance"} 1.0' in text
    assert "evil" not in text
