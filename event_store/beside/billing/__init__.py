"""What stands beside the log of who pays again and again: customers and their subscriptions.

Owns: what their events change there, in the transaction that saves them; the queries of it.
Keeps: P8: all of it can be made anew from the log, which verification compares.
Does not: know what is bought once (`event_store/beside/payments.py`), or decide anything.
"""
