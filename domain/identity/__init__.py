"""Users' API keys: their life as events, and what a caller may do.

Owns: the key's state and what may be done to it; the table of permissions, scopes and roles.
Keeps: P5: a key is never in an event.
Does not: hash or encrypt.
"""
