"""How each provider is spoken to: OpenAI's API as it is, the others translated.

Owns: rooms for HTTP, Anthropic, Gemini and the simulator; OpenAI's API, Fal, Portkey; what
translations share.
Keeps: bytes of OpenAI-compatible providers pass unchanged; every reply is bounded in size and time.
Does not: retry or fail over.
"""
