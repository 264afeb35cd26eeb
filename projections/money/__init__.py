"""Read models of money: balances and lots, statements, the journal of postings.

Owns: read_account_balance, read_credit_lot, read_credit_statement, read_journal and their queries.
Keeps: P1 and P4 as rows: sums agree with the postings.
Does not: decide; the append has.
"""
