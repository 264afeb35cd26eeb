"""OpenAI's completions of a bare prompt in the form of its Chat Completions, and back.

Owns: what becomes of each member, whole and as the chunks of a stream.
Keeps: P10 (what has no counterpart is refused by name).
Does not: send anything; a model that completes a bare prompt gets it as it is.
"""
