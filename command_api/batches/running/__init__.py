"""The running of batches in a serving process.

Owns: who takes up which batch, the call of a line, waiting and trying again, the files at the end.
Keeps: P2 and P3: a line is called under its own idempotency key, as often as need be.
Does not: check a file, or decide what may follow what (`domain/batches` does).
"""
