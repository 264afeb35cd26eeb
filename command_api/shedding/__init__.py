"""Load shedding: calls beyond what this process can serve wait their turn by class, or are refused.

Owns: the queue before the calls, the samples of how late the event loop is, their metrics.
Keeps: bounded queues and waits; the lowest class is refused first, with 503 and `Retry-After`.
Does not: limit callers (`limits`), or decide a caller's class (`domain/overload`).
"""
