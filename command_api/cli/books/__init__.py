"""The verbs of finance: the books as of any time, and the close of a month.

Owns: `gatewayz finance`.
Keeps: P10: what cannot be answered for is refused, with what to do.
Does not: work out a figure; that is `query_api/finance`, of which these verbs print the answers.
"""
