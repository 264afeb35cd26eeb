"""The facts about money from outside.

Owns: the events of payments.
Keeps: P5: facts stay as they are; no card, name or address stands in them.
Does not: decide anything, or move credits (`domain/events/ledger.py`).
"""
