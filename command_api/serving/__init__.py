"""One serving process: its parts, its application and its way into the server.

Owns: the order in which parts start and stop, the application, the short way for hot requests.
Keeps: P12: without the ledger the process answers 503 and recovers by itself.
Does not: know what a call or a catalog does; it puts them together.
"""
