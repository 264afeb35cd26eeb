"""Read models of the catalog: offers with their prices over time, and providers' health.

Owns: their tables, folds and queries.
Keeps: P6 for prices: which version counted when.
Does not: fetch or publish.
"""
