"""What finance decides about the books: the close of a period, and statements that are issued.

Owns: POST /finance/periods and /finance/statements.
Keeps: P5: who closed a period, when and why is an event. A closed period says the same for ever.
Does not: show the books (`query_api/finance`), or post anything.
"""
