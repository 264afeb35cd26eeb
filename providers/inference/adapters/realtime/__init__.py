"""Realtime sessions of providers that speak OpenAI's Realtime API over WebSockets.

Owns: the connection upstream: its address, its headers, its limits, and what ends it.
Keeps: every frame and every queue is bounded; no redirect is followed, no proxy asked.
Does not: know an event, a price or a caller.
"""
