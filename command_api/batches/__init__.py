"""Batches of calls, as in OpenAI's Batch API: a file of requests, each a call of its own.

Owns: the check of a file, the running of its lines by lease, the files of what came out.
Keeps: P2 and P3 over deaths (a line has an idempotency key of its own), P5 (results are sealed).
Does not: hold or charge (`calls` does, for each line as any call), or keep files (`files` does).
"""
