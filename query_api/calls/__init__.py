"""The story of one call, from the log itself.

Owns: /v1/calls/{id}: events, attempts, price and arithmetic of a call; finding one by its reply.
Keeps: P9 as far as one call goes: each term of its cost can be checked by hand.
Does not: tell anything from a projection, so it is final once the reply has ended; the activity
log only finds a call by its reply's id, and a reader waits until it shows all.
"""
