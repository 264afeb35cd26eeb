"""Referral codes and referrals beside the log.

Owns: what their events change there, in the same transaction, and reading it.
Keeps: P1, P3: a user has one code, a referee came by one, whoever asks at once.
Does not: decide anything (`domain/referrals`).
"""
