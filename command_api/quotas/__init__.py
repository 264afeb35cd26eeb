"""Quotas: set, listed and removed by the operator, and what a caller is told who meets one.

Owns: the commands, the refusals 429 `quota_exceeded` and 403 `trial_expired` with their figures.
Keeps: P10; money rules 10 and 13.
Does not: decide whether a call fits, which is the append's.
"""
