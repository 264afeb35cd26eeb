"""Whether models can be had: maintenance windows, the monitor's switch, what figures come to.

Owns: the life of a window and of the switch; the rule by which attempts make a standing.
Keeps: P5; a window has an end, which is never far. Integers: shares are parts per million.
Does not: choose offers (`domain/routing`), measure, or know a clock.
"""
