"""Credits that an admin gives to a customer over HTTP.

Owns: POST /admin/add_credits, /admin/approvals.
Keeps: P1, P4: an amount is read exactly, as nano-USD. P3: with an Idempotency-Key once. Who gave
it, and why, stands in the customer's audit and statement.
Does not: append by itself (`command_api/money`), or show balances (`query_api/admin`).
"""
