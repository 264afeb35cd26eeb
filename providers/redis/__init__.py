"""The cache that gateways share: Redis where there is one, else memory.

Owns: values with a time to live and a size.
Keeps: P12: a dead Redis is a miss, never an error.
Does not: keep anything that must not be lost.
"""
