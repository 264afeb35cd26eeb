"""The books that finance reads: the chart of accounts, and every event by lot kind and provider.

Owns: the chart, the entries of each event, periods that are closed, and the ageing of what is owed.
Keeps: P4: every event's entries sum to zero, and say in all what `domain.ledger.postings` says.
Does not: decide anything of money; that is `domain.ledger`.
"""
