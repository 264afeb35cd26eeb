"""The verbs that take credits back, and move them.

Owns: `debit`, `transfer`.
Keeps: P1, P3: with an idempotency key once; the balance never passes zero (money rules 15 and 16).
Does not: decide what is taken (`event_store/append`), or give credits (`command_api/cli/users`).
"""
