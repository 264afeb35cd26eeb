"""The verbs for operators: each opens the home's database, does one thing, and says what it did.

Owns: options, output for people and for programs, and which errors are a message.
Keeps: nothing of its own; it calls the commands that the other rooms offer.
Does not: decide, or write to the log by itself.
"""
