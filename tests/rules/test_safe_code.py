"""What review would otherwise have to catch, beside ruff's rules on safety, which are all on.

Each rule reads a module's tree and names what breaks it; each is shown code that does.
"""

from __future__ import annotations

import ast
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import pytest

from tests.support.packages import ROOT, SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rule = Callable[[ast.Module, str], Iterator[str]]

SQL = re.compile(
    r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH|COPY|CREATE|DROP|ALTER|GRANT|REVOKE|SET|LISTEN"
    r"|UNLISTEN|NOTIFY|ANALYZE|TRUNCATE|LOCK)\s"
)
CONSTANT = re.compile(r"[A-Z0-9_]+\Z")
OURS = {
    "event_store/beside/inline_state.py": {"table"},  # One of a tuple of names.
    "event_store/beside/organisations.py": {"role"},  # One of two texts.
    "event_store/log/reading.py": {"bound", "' AND '.join(conditions)"},  # Of fixed texts.
    "event_store/postgres/embedded.py": {"password"},  # Made here, of letters and digits.
    "event_store/postgres/database.py": {"int(statement_s * MILLISECONDS)"},
    "projections": {
        *("table", "version", "columns", "keys", "room", "where", "condition", "order", "stored"),
        *("arrays", "rules", "positions", "Line", "names", "way", "lines", "Happened", "_natural"),
    },  # Of a table's description, which stands in the code.
}
"""What may stand in SQL besides constants, by the file or the package that may have it."""
SECRET_NAME = re.compile(
    r"(?:^|_)(?:token|secret|password|signature|mac|hmac|api_key|authorization|nonce|verifier)\Z",
    re.IGNORECASE,
)
NOT_FOR_LOGS = re.compile(
    r"(?:^|_|\b)(?:authorization|api_key|token|password|secret|headers|cookies?)\b", re.IGNORECASE
)
CLIENTS = {"AsyncClient", "Client", "get", "post", "put", "delete", "request", "stream"}
MAY_CALL_OUT = {
    "providers/fetching/fetch.py",
    "providers/mail/resend.py",
    "providers/payments/http.py",  # Stripe, or its double, as the operator says.
    "providers/login/remote.py",  # The login providers that the operator names.
    "providers/inference/adapters/gemini/credentials.py",
}
"""Who may make an httpx client: a fetch of what a provider names goes through the first."""


@lru_cache(maxsize=1)
def calls(tree: ast.AST) -> list[tuple[ast.Call, str]]:
    """Each call, with what is called; one rule after the other asks it of a module."""
    return [(node, ast.unparse(node.func)) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def named(call: ast.Call) -> dict[str, ast.expr]:
    """A call's arguments by keyword."""
    return {each.arg: each.value for each in call.keywords if each.arg}


def texts(node: ast.expr) -> Iterator[str]:
    """The names that a piece of an f-string is made of."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id


def built_sql(tree: ast.Module, path: str) -> Iterator[str]:
    """SQL made of anything but constants, within a function."""
    allowed = {name for place, names in OURS.items() if path.startswith(place) for name in names}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if not isinstance(node, ast.JoinedStr) or not node.values:
                continue
            first = node.values[0]
            if not (isinstance(first, ast.Constant) and SQL.match(str(first.value))):
                continue
            for piece in node.values:
                if not isinstance(piece, ast.FormattedValue):
                    continue
                shown = ast.unparse(piece.value)
                names = set(texts(piece.value))
                if shown in allowed or (names and all(CONSTANT.match(each) for each in names)):
                    continue
                if path.startswith("projections") and names & allowed:
                    continue
                yield f"{path}:{node.lineno} puts {shown} into SQL: hand it over as a parameter"


def mixed_sql(tree: ast.Module, path: str) -> Iterator[str]:
    """SQL handed over with values already in it."""
    for call, what in calls(tree):
        if not what.endswith((".execute", ".executemany", ".stream")) or not call.args:
            continue
        query = call.args[0]
        if isinstance(query, ast.BinOp) and isinstance(query.op, ast.Mod):
            yield f"{path}:{call.lineno} formats SQL with %"
        if isinstance(query, ast.Call) and ast.unparse(query.func).endswith(".format"):
            yield f"{path}:{call.lineno} formats SQL"


def compared_secrets(tree: ast.Module, path: str) -> Iterator[str]:
    """A secret held against another by `==`, which takes longer the more of it is right."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
            continue
        sides = [node.left, *node.comparators]
        if any(isinstance(each, ast.Constant) for each in sides):
            continue
        for side in sides:
            name = ast.unparse(side).rpartition(".")[2]
            if SECRET_NAME.search(name) and not name.isupper():
                yield f"{path}:{node.lineno} compares {name}: use hmac.compare_digest"


def loose_clients(tree: ast.Module, path: str) -> Iterator[str]:
    """Requests without a time-out, with redirects that nobody checks, or to whom nobody knows."""
    for call, what in calls(tree):
        module, _, name = what.rpartition(".")
        given = named(call)
        if module == "httpx" and name in CLIENTS:
            if "timeout" not in given:
                yield f"{path}:{call.lineno} has an httpx client without a timeout"
            if path not in MAY_CALL_OUT:
                yield f"{path}:{call.lineno} calls out: fetch by providers/fetching"
        if what.endswith("urlopen") and "timeout" not in given:
            yield f"{path}:{call.lineno} opens a URL without a timeout"
        if what.endswith(("open_connection", "create_connection")) and what.startswith("asyncio"):
            yield f"{path}:{call.lineno} opens a connection: what bounds its time?"
        if "follow_redirects" in given:
            yield f"{path}:{call.lineno} follows redirects unchecked: fetch by providers/fetching"
        if ast.unparse(given.get("verify", ast.Constant(None))) == "False":
            yield f"{path}:{call.lineno} believes any certificate"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {
            "CERT_NONE",
            "_create_unverified_context",
        }:
            yield f"{path}:{node.lineno} believes any certificate"


def shells(tree: ast.Module, path: str) -> Iterator[str]:
    """A shell, which reads more into a text than there is."""
    for call, what in calls(tree):
        shell = named(call).get("shell")
        if shell is not None and ast.unparse(shell) != "False":
            yield f"{path}:{call.lineno} gives a command to a shell"
        if what in {"os.system", "os.popen"} or what.endswith("create_subprocess_shell"):
            yield f"{path}:{call.lineno} gives a command to a shell"


def told_secrets(tree: ast.Module, path: str) -> Iterator[str]:
    """A log line with what opens something, or with headers, which hold it."""
    for call, what in calls(tree):
        owner, _, level = what.rpartition(".")
        if owner.rpartition(".")[2] not in {"logger", "logging"} or level == "getLogger":
            continue
        for each in [*call.args, *call.keywords]:
            value = each.value if isinstance(each, ast.keyword) else each
            shown = ast.unparse(value)
            if not isinstance(value, ast.Constant) and NOT_FOR_LOGS.search(shown):
                yield f"{path}:{call.lineno} logs {shown}"


def cookies(tree: ast.Module, path: str) -> Iterator[str]:
    """Whoever is asked who calls, looks at the header `Authorization` and at nothing else.

    A browser sends cookies for a foreign page, too (CSRF).
    """
    for call, what in calls(tree):
        if what.rpartition(".")[2] != "authenticate":
            continue
        first = ast.unparse(call.args[0]) if call.args else ""
        if "authorization" not in first:
            yield f"{path}:{call.lineno} asks who calls by {first or 'nothing'}"
    if path in {"edge/access.py", "edge/caller.py", "command_api/sign_in/callers.py"}:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.Attribute | ast.Name):
                shown = ast.unparse(node)
                if "cookie" in shown.lower() and not isinstance(node, ast.Module):
                    yield f"{path}:{node.lineno} knows cookies"


BAD: dict[Rule, tuple[str, ...]] = {
    built_sql: (
        "def f(x):\n    c.execute(f\"SELECT * FROM t WHERE a = '{x}'\")",
        'def f(self):\n    q = f"DELETE FROM {self.name}"',
        'async def f(order):\n    return f"  select 1 ORDER BY {order}"'.replace(
            "select", "SELECT"
        ),
    ),
    mixed_sql: (
        "c.execute('SELECT %s' % name)",
        "self.connection.execute('SELECT {}'.format(name))",
    ),
    compared_secrets: (
        "if given == self.token: pass",
        "ok = state.nonce != nonce",
        "return hmac.digest(a, b, c) == signature",
    ),
    loose_clients: (
        "httpx.AsyncClient()",
        "httpx.get(url)",
        "httpx.AsyncClient(timeout=1, follow_redirects=True)",
        "Client(verify=False)",
        "urllib.request.urlopen(url)",
        "context.verify_mode = ssl.CERT_NONE",
        "asyncio.open_connection(host, 80)",
    ),
    shells: (
        "subprocess.run(x, shell=True)",
        "os.system(x)",
        "asyncio.create_subprocess_shell(x)",
    ),
    told_secrets: (
        "logger.warning('refused %s', authorization)",
        "self.logger.info('asked', extra=request.headers)",
        "logging.debug(f'with {caller.api_key}')",
    ),
    cookies: (
        "authenticate(request.cookies['session'])",
        "keys.authenticate()",
        "keys.authenticate(header_of(scope, b'cookie'), origin)",
    ),
}


@cache
def broken() -> dict[Rule, list[str]]:
    """What breaks each rule: every module is read once."""
    found: dict[Rule, list[str]] = {rule: [] for rule in BAD}
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if name.startswith(("tests/", "bench/")):
            continue
        tree = ast.parse(path.read_text())
        for rule in found:
            found[rule] += rule(tree, name)
    return found


@pytest.mark.parametrize("rule", BAD, ids=lambda rule: rule.__name__)
def test_no_module_breaks_it(rule: Rule) -> None:
    """None of ours does (rule: access, rule: tidy)."""
    assert broken()[rule] == []


@pytest.mark.parametrize(
    ("rule", "code"), [(rule, code) for rule, codes in BAD.items() for code in codes]
)
def test_each_rule_sees_what_it_is_for(rule: Rule, code: str) -> None:
    """A rule that finds nothing where there is something is none (rule: tidy)."""
    place = "edge/access.py" if rule is cookies else "command_api/x.py"
    assert [*rule(ast.parse(code), place)]


def test_ruffs_rules_on_safety_are_all_on() -> None:
    """But for those whose reason stands beside them (rule: tidy)."""
    text = (ROOT / "pyproject.toml").read_text()
    assert 'select = ["ALL"]' in text
    ignored = re.findall(r'^  "(S\d+)",(.*)$', text, re.MULTILINE)
    assert {code for code, _ in ignored} <= {"S101", "S105", "S106", "S310", "S311", "S603"} | {
        *("S607", "S608")
    }
    assert all("# " in reason for _, reason in ignored)
