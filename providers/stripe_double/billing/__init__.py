"""What the double knows of people who pay again and again, as Stripe's billing has it.

Owns: products and prices of the demo, customers and their saved cards, subscriptions by the
calendar, their invoices with retries, and the portal where customers help themselves.
Keeps: what Stripe documents of periods, prorations, off-session payments and statuses.
Does not: serve HTTP, keep idempotency keys, or tell anybody (the double's own modules do).
"""
