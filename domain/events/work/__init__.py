"""What the gateway does on its callers' behalf: batches of calls, and calls with keys of their own.

Owns: the events of batches and of provider keys.
Keeps: P5: what the requests of a batch say, and what they were answered, stands in no event, and
neither does a provider key.
Does not: tell of the calls themselves, whose events are those of any call.
"""
