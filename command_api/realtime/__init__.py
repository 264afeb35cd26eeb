"""Realtime sessions: one WebSocket on each side, and one call from its hold to its settlement.

Owns: the upgrade and its refusals, which events pass, the two directions of a session and its end.
Keeps: P1, P2 and P11 for a call of many responses: held for before the next, settled once.
Does not: count tokens (`domain/realtime` does), choose offers, or open a socket to a provider.
"""
