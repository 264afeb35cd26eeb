"""Starts, watches and ends the processes of an installation.

Owns: the supervisor with its locks, listener and greeting, its children (workers and background
work), and the relay's process.
Keeps: P2 and P12 over deaths: children end with their supervisor, and what died is started again.
Does not: serve a request or read the log itself.
"""
