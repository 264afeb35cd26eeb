"""What a provider's bytes mean in OpenAI's completions of a prompt, and those of chat in that form.

Owns: whole completions and their streams, our own count of both, and the reader that has chunks
of chat translated.
Keeps: money rule 6, as its neighbours do; a stream that asked for usage tells it, whoever counted.
Does not: translate (`providers/inference/adapters/texts` does), know routes or the ledger.
"""
