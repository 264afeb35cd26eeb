"""A call from its hold to its settlement: the hot path.

Owns: the inference routes, the call's record of attempts, failover, streams, and the call's money.
Keeps: P2 (a durable hold before the provider, an outcome after it), P3, P11, P12.
Does not: parse an operation's body, judge a provider's bytes, or choose offers.
"""
