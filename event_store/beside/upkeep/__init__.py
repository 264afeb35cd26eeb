"""What stands beside the log of maintenance windows, of the monitor, and of what it found.

Owns: what their events change there, the rounds of checks, and reading.
Keeps: P8: windows and the switch can be made anew from the log; findings are of the moment.
Does not: check anybody.
"""
