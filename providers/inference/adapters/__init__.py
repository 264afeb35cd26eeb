"""How each provider is spoken to: OpenAI's API as it is, the others translated.

Owns: the HTTP client, translations of Anthropic and Gemini, Fal, Portkey, Google's login.
Keeps: bytes of OpenAI-compatible providers pass unchanged; every reply is bounded in size and time.
Does not: retry or fail over.
"""
