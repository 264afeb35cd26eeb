"""Process managers: what follows from events and is done once, whatever dies in between.

Owns: their positions in the log, the wishes that are not done yet (timers among them), the host
that hears events, does what is due, and keeps what failed.
Keeps: P3, P8: one command for each cause, and no side effect of a rebuild; P7: no cause is passed
over; P12: only PostgreSQL is needed.
Does not: decide what follows (`domain`), know any manager, or do a command itself (the slices).
"""
