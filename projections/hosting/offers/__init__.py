"""Comparisons of what stands beside the log of offers to users with the log itself.

Owns: that of referrals.
Keeps: P8: what is derived is what the log says.
Does not: replay the log (`projections/hosting/verify.py`).
"""
