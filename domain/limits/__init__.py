"""How fast a caller may call: what can be limited, and when a request is admitted.

Owns: the limits, the named plans, sliding windows, and the rule that decides.
Keeps: money rule 13, its second half.
Does not: count anything that is shared; that is done by who uses it, by the same rule.
"""
