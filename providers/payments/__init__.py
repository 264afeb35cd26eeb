"""Who takes the money: the port, and the adapter to Stripe through its own SDK.

Owns: what is asked of Stripe, the signatures of its webhooks, and how its objects are read.
Keeps: money rule 18 (minor units as they are told), P3 (one idempotency key for each act on a
payment). Every wait, retry and reply is bounded.
Does not: decide what a payment is (`domain/payments`), or keep anything.
"""
