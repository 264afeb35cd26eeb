"""Rate limits: who has which, and whether a request is admitted now.

Owns: the limits in force, the gate before every hold, refusals, the routes about them.
Keeps: money rule 13, its second half; P12: a dead Redis limits by local counters.
Does not: decide by itself (`domain/limits` does), nor count (`limit_counters` does).
"""
