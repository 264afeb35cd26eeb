"""The write side: authenticate, bound, hold, call, settle. And the composition root.

Owns: the inference and catalog routes, the hot path, users and keys, grants, the command line,
the processes.
Keeps: P2, P3, P10, P11, P12 at the edge.
Does not: compute balances for reading (query_api), or decide about money (domain, the append).
"""
