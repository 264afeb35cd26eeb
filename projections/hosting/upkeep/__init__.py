"""Compares with the log what stands beside it of the house's upkeep.

Owns: the comparison of maintenance windows and the monitor's switch.
Keeps: P8. Does not: mend anything.
"""
