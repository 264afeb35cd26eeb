"""What a provider's bytes mean in Anthropic's Messages API, and OpenAI's bytes in its form.

Owns: whole messages and their streams as Anthropic sends them, its usage, our own count of both,
and the reader that has another provider's chunks translated.
Keeps: money rule 6, as its neighbours do; bytes of Anthropic's own pass unchanged.
Does not: translate (`providers/inference/adapters/anthropic` does), know routes or the ledger.
"""
