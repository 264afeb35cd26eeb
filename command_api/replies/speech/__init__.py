"""What a provider's bytes mean where a text is read aloud.

Owns: audio as it comes, plain or in events, told in the way that the caller asked for; our own
count of it, and the most of it that a text can become.
Keeps: money rule 6; half of an audio never looks like the whole of one.
Does not: look at the audio itself, or know routes or the ledger.
"""
