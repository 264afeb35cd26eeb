"""The books over HTTP: what finance asks as of any time, each figure with the way to its lines.

Owns: GET /finance/trial-balance, /journal, /revenue, /margin, /deferred-revenue, /receivables,
/aging and /periods.
Keeps: P4: amounts are integers of nano-USD. P10: pages have a maximum; what cannot be answered for
is refused, and not answered with nought.
Does not: change anything, or close a period; that is `command_api/books`.
"""
