"""How many tokens a prompt has, asked without a call: Anthropic's `count_tokens`.

Owns: the route, what of a provider's answer is believed, and the estimate that stands in for it.
Keeps: P10 as far as it goes: a count of ours is marked as one. It is free, and has rate limits.
Does not: hold, charge or log anything; it is no call.
"""
