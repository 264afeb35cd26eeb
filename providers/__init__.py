"""Ports and adapters to what is outside: inference upstreams, and the shared cache.

Owns: how an upstream is reached, which models it offers at what price, the simulator, Redis.
Keeps: P10 and P12 towards the outside: what is away or unpriced is an answer, never a surprise.
Does not: route, charge, or know of callers.
"""
