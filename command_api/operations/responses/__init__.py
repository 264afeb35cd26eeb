"""A Responses body: what it may hold, how it is bounded, and how each provider is asked for it.

Owns: reading and measuring the body, its form at who speaks Responses and at who speaks chat.
Keeps: money rule 2 (what may cost is measured), P10 (what cannot be priced is refused by name).
Does not: translate (`providers/inference/adapters/responses`), keep responses, call a provider.
"""
