"""What payments are: packages, conversion into credits, and a table of what may follow what.

Owns: payments as state folded from their events; the commands that decide new ones.
Keeps: P4 (integers, one rounding), money rules 12 and 18. Whatever is told twice, late or in
another order changes nothing.
Does not: know a payment provider, or give credits (`domain/ledger`, the append).
"""
