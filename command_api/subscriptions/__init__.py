"""Subscriptions: people pay by the month, Stripe does the money, and allowances are given once.

Owns: the routes of subscriptions, the portal and invoices below `/api/stripe`, the one customer of
each account, and the handler of what Stripe tells of them.
Keeps: P3: whatever is told twice, late or in another order gives a period's allowance once. Money
rules 12 and 18; a subscription that begins ends its account's trial (money rule 10).
Does not: speak Stripe's protocol (`providers/payments`), decide what a subscription is worth
(`domain/subscriptions`), or take part in what is bought once (`command_api/payments`).
"""
