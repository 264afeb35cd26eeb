"""Referrals: codes made and claimed; bonuses given and taken back by a process manager.

Owns: /referral/code, /referral/generate, /referral/validate, /referral/claim; what a code does that
is given at registration; the manager `referrals`.
Keeps: P1, P3: a code has so many uses, and each is rewarded once, whatever dies between.
Does not: decide (`domain/referrals`), append (`command_api/money`), list (`query_api/referrals`).
"""
