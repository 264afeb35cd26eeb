"""Referrals as their owner sees them.

Owns: GET /referral/stats.
Keeps: P5: the code's owner sees who came by it, and of their addresses a letter and the host.
Does not: make or claim a code (`command_api/referrals`).
"""
