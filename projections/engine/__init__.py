"""What runs a read model, and knows none of them.

Owns: declarations, tables and how rows merge, links and folding, sinks, the runner, rebuild,
comparison.
Keeps: P7 (position and rows in one transaction; gaps refused) and P8 (rebuild beside the live one).
Does not: know an event's meaning, or who hosts it.
"""
