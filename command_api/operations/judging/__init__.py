"""Bodies that ask for a judgement of texts: moderations, and documents ranked for a query.

Owns: reading and measuring the bodies, the form in which each provider is asked, and which answers
count: a verdict for each input, a score for documents that were sent.
Keeps: money rules 2 and 6, P10 (a model of another kind is refused by name).
Does not: call a provider; say what a search unit is (`domain/pricing/searches`).
"""
