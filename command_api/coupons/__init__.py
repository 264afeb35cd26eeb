"""Coupons: made, changed and ended by admins, redeemed by users.

Owns: POST /coupons/redeem, and what changes something below /admin/coupons.
Keeps: P1, P3: of one use that is left one user gets it, and its credits are granted once, whatever
ends between the use and the grant.
Does not: decide (`domain/coupons`), append (`command_api/money`), or list (`query_api/coupons`).
"""
