"""The read side over HTTP: balances, statements, rankings, traffic, and the story of a call.

Owns: the routes behind /user, /ranking and /v1/calls, and the shape of what they answer.
Keeps: P6 where it reads: answers say at which position they stand.
Does not: change anything, or write SQL: queries stand beside their tables in `projections`.
Reads wait for the caller's own writes, for a bounded time.
"""
