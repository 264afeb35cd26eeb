"""Events of what operators do to keep the house running: maintenance of providers, the monitor.

Owns: their classes.
Keeps: P5. Does not: decide.
"""
