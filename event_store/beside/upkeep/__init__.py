"""What stands beside the log of maintenance windows, of the monitor and its findings, and of pings.

Owns: what their events change there, the rounds of checks, the count of pings, and reading.
Keeps: P8: windows and the switch can be made anew from the log; findings and pings are no facts.
Does not: check anybody.
"""
