"""The verbs that take credits back and move them, and those about money from outside.

Owns: `debit`, `transfer`, `approvals`, `rerate`, `call`; `reconcile` and `payments`.
Keeps: P1, P3: with an idempotency key once; the balance never passes zero (money rules 15 and 16).
Rule 18: what does not match is named, with why, and nothing is entered for it.
Does not: decide what is taken (`event_store/append`), give credits (`command_api/cli/users`), or
talk to Stripe itself (`command_api/payments` does, through its port).
"""
