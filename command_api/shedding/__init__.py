"""Load shedding: calls beyond what this process can serve wait their turn by class, or are refused.

Owns: the queue before the calls, the samples of how late and how idle the event loop is, metrics.
Keeps: bounded queues and waits; the lowest class is refused first, with 503 and `Retry-After`.
Does not: limit callers (`limits`), or decide a caller's class (`domain/overload`).
"""
