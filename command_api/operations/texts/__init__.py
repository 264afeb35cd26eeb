"""A body of completions: what it may hold, how it is bounded, and how each provider is asked.

Owns: reading and measuring the body, its form for a model that completes a bare prompt, and for one
that chats.
Keeps: money rule 2 (every prompt and every candidate that may cost is held for), P10 (what has no
price or no counterpart is refused by name).
Does not: translate (`providers/inference/adapters/texts`), call a provider.
"""
