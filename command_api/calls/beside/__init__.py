"""What of a call is kept beside the log, and what it goes on from.

Owns: reading a request with all that a previous response stands for, keeping what was answered, and
what is told of a call that costs more than there is.
Keeps: P5 (what is kept is sealed with its owner's key), P3 (it is kept once, when it was charged).
Does not: hold, charge, or speak to a provider.
"""
