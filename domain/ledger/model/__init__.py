"""A ledger in memory that decides by the same rules as the store's append, for tests.

Owns: the commands of the append, one at a time, against the state that the log implies.
Keeps: P1, P2, P4; money rules 3, 8, 9, 13 and 15 to 17.
Does not: run in production; there the append decides, in SQL, and a stateful test compares both.
"""
