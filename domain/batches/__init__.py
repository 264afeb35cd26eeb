"""Batches of calls: what may follow what.

Owns: the decider of a batch, and the fold of all of them.
Keeps: P8: what stands beside the log of a batch's state follows from its events.
Does not: know the requests of a batch, or run them.
"""
