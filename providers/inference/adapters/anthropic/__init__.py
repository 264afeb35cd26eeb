"""Anthropic's Messages API: chat alone.

Owns: how a body, a reply and a stream of OpenAI's read there, and the other way round.
Keeps: P10 (what has no counterpart is refused by name) and money rule 6: its own counts.
Does not: know HTTP beyond one client.
"""
