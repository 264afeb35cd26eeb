"""What the gateway does on its callers' behalf: batches of calls.

Owns: the events of batches.
Keeps: P5: what the requests of a batch say, and what they were answered, stands in no event.
Does not: tell of the calls themselves, whose events are those of any call.
"""
