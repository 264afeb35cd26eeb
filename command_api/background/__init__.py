"""Responses that run in the background: calls that outlive the request that asked for them.

Owns: the runs of a process, their bounds, the events that are told of them, and how each ends.
Keeps: P2 (a run is a call as any other: held before, settled after), P5 (sealed beside the log).
Does not: hold or charge (`calls` does), or keep rows (`kept_replies` does).
"""
