"""The read side over HTTP: balances, statements, and the story of a call.

Owns: the queries behind /user/balance, /user/credit-transactions and /v1/calls.
Does not: change anything. Reads wait for the caller's own writes, for a bounded time.
"""
