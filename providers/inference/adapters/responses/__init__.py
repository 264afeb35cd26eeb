"""OpenAI's Responses API in the form of its Chat Completions, and back.

Owns: what becomes of each member, item and tool, whole and as the events of a stream.
Keeps: P10 (what has no counterpart is refused by name).
Does not: send anything; a provider that speaks Responses itself gets them as they are.
"""
