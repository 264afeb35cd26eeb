"""Overload: whose calls come first when there are more than can be served, and how many may run.

Owns: the classes of priority, the limit of calls admitted at once, which follows a process's delay.
Keeps: nothing of its own; the order is strict, and a limit never falls below its least.
Does not: wait, count or refuse (`command_api/shedding`).
"""
