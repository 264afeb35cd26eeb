"""The inference operations: what each asks of a model, what that bounds, which answers count.

Owns: for each operation its body's members, bound, own count, upstream body and judgement.
Keeps: P10 (what cannot be bounded is refused) and money rules 2 and 6.
Does not: call a provider, hold or charge.
"""
