"""Quotas: durable, exact limits of money, requests and tokens within a window (money rule 13).

Owns: the windows of days and months, what a call claims and uses, the fold of quotas and their
windows, which refuses an event that goes beyond a limit.
Keeps: P1's sister for quotas: `held + used <= limit` after every event.
Does not: know lots, prices or time zones' names; a zone comes as the table of its offsets.
"""
