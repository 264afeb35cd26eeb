"""HTTP/1.1 for the hot path: a client, its connections, the replies on them.

Owns: connections and their reuse, the bounds of a reply in time and size, its pieces.
Keeps: P12 towards the outside: what is away, silent, broken or too large is an error with a name.
Does not: know a provider, a status's meaning or JSON; nothing is tried twice that was sent.
"""
