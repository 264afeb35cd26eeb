"""Credits in and out, outside of calls.

Owns: grants: the operator's and the trial's.
Keeps: P3 for grants: the same key gives once.
Does not: hold or settle calls (calls), or decide about lots (domain, the append).
"""
