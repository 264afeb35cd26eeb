"""Overload: whose calls come first when there are more than can be served, and how many may run.

Owns: the classes of priority, the pace at which an overloaded process admits calls, and how many
  calls a provider gets at once.
Keeps: nothing of its own; the order is strict, and a limit never falls below its least.
Does not: wait, count or refuse (`command_api/shedding`).
"""
