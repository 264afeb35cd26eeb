"""Routing: which offer is tried first, which next, and what a failed try means.

Owns: the policies of operators, the wishes of callers, how offers have been doing.
Keeps: an offer that is not doing well is put last and never left out: the caller is better served
by a try than by a refusal.
Does not: know time, latency or dice; they come from outside. Times are milliseconds of any steady
clock.
"""
