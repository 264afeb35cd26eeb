"""The page on which a person pays, as Stripe's hosted page stands behind a session's `url`."""

from __future__ import annotations

from html import escape
from typing import Any

ZERO_DECIMAL = frozenset({"jpy", "krw", "vnd", "clp"})
_STYLE = (
    "body{font:16px system-ui;margin:3rem auto;max-width:26rem;padding:0 1rem}"
    "input,button{font:inherit;padding:.5rem;width:100%;margin:.3rem 0;box-sizing:border-box}"
)


def page(session: dict[str, Any], said: str = "", *, ask: bool = False) -> bytes:
    """The page of a session: to pay, to answer 3-D Secure, or that it is over."""
    amount, currency = session["amount_total"] or 0, session["currency"]
    shown = f"{amount}" if currency in ZERO_DECIMAL else f"{amount // 100}.{amount % 100:02d}"
    body = f"<p>{escape(said)}</p>" if said else ""
    action = escape(f"/c/pay/{session['id']}")
    if session["status"] != "open":
        body += f"<p>This payment is {escape(session['status'])}.</p>"
    elif ask:
        body += (
            f'<form method="post" action="{action}/authenticate"><p>Your bank asks: is it you?</p>'
            '<button name="approve" value="true">Yes</button>'
            '<button name="approve" value="false">No</button></form>'
        )
    else:
        body += (
            f'<form method="post" action="{action}/pay"><label>Test card<input name="card" '
            'value="4242424242424242" inputmode="numeric"></label><button>Pay</button></form>'
        )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Demo payment</title>'
        f"<style>{_STYLE}</style><h1>{shown} {escape(currency.upper())}</h1>"
        f"<p>A demo: no real card is taken, and no money moves.</p>{body}</html>"
    ).encode()
