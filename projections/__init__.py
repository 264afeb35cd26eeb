"""Read models: each one module with a name, a version, tables, a pure fold and its queries.

Owns: the runner (position and rows in one transaction), the follower that hosts projections on
PostgreSQL, and verification of read models against the log.
Keeps: P7 (nothing skipped, nothing twice) and P8 (rebuild equals live).
Does not: decide anything; nothing here can delay or fail a call.
"""
