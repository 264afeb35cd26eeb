"""What stands beside the log of customers' provider keys.

Owns: what their events change there, reading, and the sealed secrets, which are not of the log.
Keeps: P8: all but the secrets can be made anew from the log; P5: a secret goes with its key, its
project, its organisation or its user.
Does not: open what is sealed.
"""
