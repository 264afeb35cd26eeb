"""Compares with the log what stands beside it of the house's upkeep, and of its work.

Owns: the comparison of maintenance windows, the monitor's switch, batches and provider keys.
Keeps: P8. Does not: mend anything.
"""
