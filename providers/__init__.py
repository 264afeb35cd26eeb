"""Ports and adapters to what is outside: inference upstreams now.

Owns: how an upstream is reached, which models it offers at what price, and the simulator.
Does not: route, charge, or know of callers.
"""
