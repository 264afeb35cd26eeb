"""Lots, holds and postings: the rules by which credits move.

Owns: burn-down, a hold's life, the ledger's state as a fold, its decider, double entry.
Keeps: P1, P3, P4.
Does not: know prices or providers.
"""
