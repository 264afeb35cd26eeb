"""Customers' own keys at providers: stored, shown by their ends, changed, checked, removed.

Owns: the routes of /user/provider-keys, and who may manage which key.
Keeps: P5: a key is sealed with the data key of the organisation whose it is, is never told again,
and goes with it; the house alone says which host it is sent to.
Does not: use one in a call (`command_api/routing`, `command_api/calls/beside/own_keys.py`).
"""
