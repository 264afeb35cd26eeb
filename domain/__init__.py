"""The rules of the ledger, and nothing else.

Owns: money, prices, grants and their lots, holds, users and API keys, the event
vocabulary, and the postings that every event implies.
Keeps: P1 (never overspent), P3 (one call, one charge), P4 (exact money).
Does not: read a clock, draw random numbers, open files or sockets, or use floats.
Time, identifiers and prices always arrive as arguments.
"""
