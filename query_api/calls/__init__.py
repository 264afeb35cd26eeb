"""The story of one call, from the log itself.

Owns: /v1/calls/{id}: events, attempts, price and arithmetic of a call.
Keeps: P9 as far as one call goes: each term of its cost can be checked by hand.
Does not: read a projection, so it is final once the reply has ended.
"""
