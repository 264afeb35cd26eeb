"""The append of money: entries in, answers out, durable in between.

Owns: the entries' packing, the committer and its connection, leases, the spool and its reserve, the
sweeper, and the page that shows the running SQL functions.
Keeps: P1, P2, P3 and the store's half of P12.
Does not: decide prices; the SQL function decides bounds under its lock.
"""
