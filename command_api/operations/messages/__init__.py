"""A body of Anthropic's Messages: what it may hold, how it is bounded, how providers are asked.

Owns: reading and measuring the body and its headers, and its form for a model that speaks chat.
Keeps: money rule 2 (every block that may cost is measured), P10 (what has no counterpart is refused
by name).
Does not: translate (`providers/inference/adapters/anthropic`), read replies, call a provider.
"""
