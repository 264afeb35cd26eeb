"""The log: appending to it, reading it, relaying it, and the PostgreSQL that keeps it.

Owns: the append of money (one SQL function, group-committed), the `eventsourcing` recorder for
users, keys and the catalog, inline state, idempotency keys and their kept replies, leases, the
spool, the sweeper, migrations, the list of advisory locks, the embedded server, and the relay to
Kafka with its schemas.
Keeps: P1, P2, P3, P5, P7 and the store's half of P12.
Does not: decide prices, talk to inference providers, or serve HTTP.
"""
