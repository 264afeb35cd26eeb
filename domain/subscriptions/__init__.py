"""What subscriptions are: tiers, what may follow what, and the allowance that a paid invoice gives.

Owns: the one customer of an account, subscriptions as state folded from their events, and the rule
of the allowance (`allowance`).
Keeps: P4 (exact integers, one rounding), P3: whatever is told twice, late or in another order gives
the same. Money rule 18.
Does not: know a payment provider, ask for money, or give credits (`domain/ledger`, the append).
"""
