"""Rate limits: who has which, and whether a request is admitted now.

Owns: the limits in force, the shared counters in Redis, those of the process without it, refusals.
Keeps: money rule 13, its second half; P12: a dead Redis limits by local counters.
Does not: decide by itself (`domain/limits` does), nor count what lasts longer than a day.
"""
