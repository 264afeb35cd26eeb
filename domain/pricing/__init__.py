"""What a call costs: amounts, prices, usage.

Owns: nano-USD, price terms and tiers, reported and estimated usage, the one rounding.
Keeps: P4.
Does not: know where a price comes from.
"""
