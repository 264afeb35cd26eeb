"""What goes back: refunds that admins make, refunds and disputes that Stripe tells of, and costs.

Owns: `POST /api/stripe/refund`, what a refund or a dispute does to a payment and its credits, the
facts about fees, taxes and payouts, and their part of reconciliation.
Keeps: money rules 15 and 18; P3: each is keyed by Stripe's object, so that whatever is told twice,
late, in another order or by two at once takes credits once, and gives them back once. P1: a
balance never goes below zero; what is not there is owed.
Does not: keep what Stripe tells (`command_api/payments`), decide how many credits that are
(`domain/payments`), or take them by itself (`command_api/money`).
"""
