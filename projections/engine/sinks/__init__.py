"""Where rows go: tables of PostgreSQL, sorted sets of Redis.

Owns: the port of a sink, both adapters, and the progress that stands beside the rows.
Keeps: P7: rows and progress are stored together; a step that began elsewhere is refused.
Does not: read the log, fold, or choose the sink of a projection: the register says which.
"""
