"""A Stripe of our own, on this machine: it takes test cards, keeps state and sends signed webhooks.

Owns: checkout sessions, payment intents, charges, refunds, disputes, customers and events in a
file of SQLite; their HTTP API, the page where a person pays, and the delivery of webhooks.
Keeps: what Stripe documents of idempotency keys, test cards, statuses and signatures, so that a
demo and the tests take the way that real money takes.
Does not: know anything of Gatewayz (providers/payments speaks to it as to Stripe), or take a real
card.
"""
