"""Read models of use: by hour, by key, activity, counters and rankings.

Owns: their tables, folds and queries.
Keeps: P7 and P8 through the engine.
Does not: enforce limits; it counts what was.
"""
