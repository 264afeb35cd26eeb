"""The verbs about money from outside.

Owns: `reconcile` and `payments`.
Keeps: money rule 18: what does not match is named, with why; no verb here makes an entry.
Does not: talk to Stripe itself (`command_api/payments` does, through its port).
"""
