"""What both HTTP sides share: the errors callers see, bodies, replies, who calls, and what a
route needs of its caller.

Owns: the envelopes and named errors, reading a body within its limits, JSON replies and pages,
lanes of threads for blocking work.
Keeps: P10 at the edge (a clear named error that says what to do) and P12 (no reader takes the
ledger's threads).
Does not: know a route, a provider, a table or a setting; imports nothing above the domain.
"""
