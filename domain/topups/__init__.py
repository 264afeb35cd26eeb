"""When an account is topped up by itself: never twice at once, never beyond its month's cap.

Owns: the settings, what is under way, and what follows from how a charge ended.
Keeps: P4 (integers of cents), P3: one charge for each cause; every back-off has a named maximum.
Does not: know a payment provider, a card, or a clock; take money, or give credits.
"""
