"""Which offers are asked, and in which order.

Owns: the caller's wishes, the plan of a call, and how each offer has been doing here.
Keeps: P10 (a model that nobody may be asked for is a named refusal).
Does not: ask anybody; the rules of order are the domain's.
"""
