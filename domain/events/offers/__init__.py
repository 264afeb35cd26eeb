"""The facts of what the house gives or allows beside what is paid for.

Owns: the events of coupons and of users' plans.
Keeps: P5, as `domain/events`.
Does not: hold credits: what is granted is an event of the ledger.
"""
