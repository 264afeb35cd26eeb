"""Batches of calls: what may follow what, and what a line costs.

Owns: the decider of a batch, the fold of all of them, and the price of a line.
Keeps: P8: what stands beside the log of a batch's state follows from its events; money rules 12 and
17: a line pays its batch's share of a price, of whichever price it is rated by.
Does not: know the requests of a batch, or run them.
"""
