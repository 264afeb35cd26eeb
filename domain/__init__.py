"""The rules of the ledger and of the gateway, and nothing else.

Owns: events, money, prices and usage, what images are billed, lots and holds, the postings that
every event implies, API keys, the catalog's facts and canonical ids, the order of offers and their
breakers, upcasters.
Keeps: P1 (never overspent), P3 (one call, one charge), P4 (exact money).
Does not: read a clock, draw random numbers, open files or sockets, or use floats.
Time, identifiers and prices always arrive as arguments.
"""
