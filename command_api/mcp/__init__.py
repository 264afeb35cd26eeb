"""The Model Context Protocol: what reads catalog, balance and calls, as tools for agents.

Owns: /mcp: whose page may ask, what of a message is believed, the table of tools, their counts.
Keeps: one place for each decision: a tool answers what its HTTP route answers to that key, byte for
byte; bounded: bodies, depth, answers, and how many are served at once; no state between messages.
Does not: change anything, read a table, or know the protocol's revisions: the library does.
"""
