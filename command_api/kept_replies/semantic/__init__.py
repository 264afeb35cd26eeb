"""Answers to nearly the same text: found by the distance of vectors, kept in PostgreSQL.

Owns: which requests are compared at all, what must be equal in them, the rows and their search.
Keeps: P5 (vectors and answers are sealed with their owner's key); nothing crosses an account.
Does not: ask for vectors, which are calls of their own; or say what a found answer costs.
"""
