"""The verbs about the ledger itself: its check, its replay, an account's statement.

Owns: `gatewayz ledger …`.
Keeps: nothing of its own; it reads the log and what is made of it.
Does not: write anything, or make a home that is not there.
"""
