"""Which providers there are, what each offers at which price, and who answers to an id.

Owns: the built-in table, the operator's file, offers and the resolution of ids.
Keeps: P10: an offer has a price or is none.
Does not: speak to a provider.
"""
