"""Referrals: whoever brings somebody who pays gets a bonus, and so does who was brought.

Owns: what a code may be, the life of a referral, every rule by which one is refused, what follows
from a payment and from its refund.
Keeps: P1, P3: a code has so many uses and no more, and each is rewarded once.
Does not: grant or take credits (`domain/ledger`), or know who is behind an address.
"""
