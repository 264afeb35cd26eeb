"""The counters behind rate limits: those that all gateways share, and those of one process.

Owns: the scripts that Redis runs, the local counters, what was counted before Redis was emptied.
Keeps: money rule 13, its second half; P12.
Does not: know who has which limits.
"""
