"""Users' API keys: their life as events.

Owns: the key's state and what may be done to it.
Keeps: P5: a key is never in an event.
Does not: hash or encrypt.
"""
