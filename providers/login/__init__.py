"""Who somebody is elsewhere: OpenID Connect, GitHub, Privy.

Owns: how each provider is asked, and how its word is verified.
Keeps: P12: a provider's reply is bounded in size and time; no claim counts of a token that is
not verified.
Does not: know an account of ours.
"""
