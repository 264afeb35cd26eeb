"""Where projections run on PostgreSQL: installing, following the log, verifying the books.

Owns: the follower and its lanes, installation, `ledger verify`.
Keeps: P7 across restarts and P8's proof; yields to calls (nothing here may delay one).
Does not: know what a single projection folds.
"""
