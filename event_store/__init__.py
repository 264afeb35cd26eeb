"""The log: appending to it, reading it, and the PostgreSQL that keeps it.

Owns: the append of money (one SQL function, group-committed), the `eventsourcing` recorder for
users and keys, inline state, leases, the spool, the sweeper, migrations, and the embedded server.
Keeps: P1, P2, P3, P5, P7 and the store's half of P12.
Does not: decide prices, talk to providers, or serve HTTP.
"""
