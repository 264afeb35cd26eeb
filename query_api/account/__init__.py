"""A caller's own account: balance and statement.

Owns: /user/balance, /user/monitor and /user/credit-transactions.
Keeps: P6: a balance says at which position it stands; readers see their own writes.
Does not: compute a balance: the projections have done so.
"""
