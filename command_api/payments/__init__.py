"""Money in: people buy credits, Stripe takes the money and tells, and credits are given once.

Owns: `/api/stripe/…`, the inbox of what Stripe told, its background work, and reconciliation.
Keeps: money rules 12 and 18; P3: whatever is told twice, late, in another order or not at all gives
credits once. P2: what was told and is not handled yet waits, and what fails stays with its reason.
Does not: speak Stripe's protocol (`providers/payments`), decide what a payment is
(`domain/payments`), or give credits by itself (`command_api/money`).
"""
