"""Inference upstreams: the port, the registry of providers, their lists, their adapters.

Owns: what an upstream is to the pipeline (`port`).
Keeps: P10: what has no price or no way to be done is refused by name.
Does not: choose between providers.
"""
