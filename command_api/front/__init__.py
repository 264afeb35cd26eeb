"""The server's end of a client's connection: uvicorn's protocol, within limits, with a short way.

Owns: the reading of requests from the wire, their limits, and how replies are written.
Keeps: P12 against callers: what one sends, or does not read, costs the others nothing.
Does not: know an operation, a key or a call; what it serves is an ASGI application.
"""
