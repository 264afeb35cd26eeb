"""Answers without a new call: replies kept for idempotency keys, and the response cache.

Owns: what a key is, which reply is kept how long, and its encryption with the user's own key.
Keeps: P3 (the first reply again, never a second charge) and P5 for what it stores.
Does not: decide whether a key is taken: the append does, under its lock; or say what a cached
answer costs: `calls` does.
"""
