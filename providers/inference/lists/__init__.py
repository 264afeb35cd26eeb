"""The model lists of providers: fetched, read in every form, priced.

Owns: the schedule, the forms, the price table, staleness.
Keeps: P10: what is too old is dropped.
Does not: decide what a caller may use.
"""
