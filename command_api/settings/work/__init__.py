"""Settings of what is done on callers' behalf, behind their requests.

Owns: the groups of files, of batches and of provider keys.
Keeps: nothing of its own; each maximum that the slices promise has its bounds here.
Does not: open, make or decide anything.
"""
