"""Coupons: codes that are worth credits, once for each user and so many times in all.

Owns: what a code may be, the life of a coupon, every rule by which one is redeemed or refused.
Keeps: P1, P3: no use is given twice, whoever asks at once.
Does not: grant the credits (`domain/ledger`), or know who a user is.
"""
