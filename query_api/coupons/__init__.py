"""Coupons as users and admins see them.

Owns: GET /coupons/available and /coupons/history, and what is read below /admin/coupons.
Keeps: a user sees what they could redeem themselves, and their own uses alone.
Does not: redeem or change anything (`command_api/coupons`).
"""
