"""Lines of the log that callers could make as many of as they make calls.

Owns: how often such a line is written.
Keeps: one line of a kind in a named time, however often it happens, with how many there were since.
Does not: count for Prometheus (whoever has the lines does), or hold back lines of defects.
"""
