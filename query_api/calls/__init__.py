"""The story of one call, from the log itself, and the list of those that ended.

Owns: /v1/calls/{id}: events, attempts, price and arithmetic of a call; finding one by its reply;
/v1/calls, page by page.
Keeps: P9 as far as one call goes: each term of its cost can be checked by hand.
Does not: tell a story from a projection, so it is final once the reply has ended; the activity
log only lists calls and finds one by its reply's id, and a reader waits until it shows all.
"""
