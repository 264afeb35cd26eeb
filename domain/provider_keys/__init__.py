"""Keys of customers at providers: who may be called with them, and what such a call costs.

Owns: the life of a stored key, the shape of a secret, the offers that a call with own keys may try,
and the fee, a share of the catalog's price.
Keeps: P4, P5: a secret stands in no event and in no text; P10: a key that cannot be used is refused
by name, and never replaced by the house's.
Does not: seal, store or send a secret; say who may manage one (`domain/organisations`).
"""
