"""What a provider's bytes mean in OpenAI's Responses API, and those of chat in its form.

Owns: whole responses and their streams, their usage, our own count of both, and the reader that has
chunks translated.
Keeps: money rule 6, as its neighbours do; bytes of who speaks Responses pass unchanged.
Does not: translate (`providers/inference/adapters/responses` does), know routes or the ledger.
"""
