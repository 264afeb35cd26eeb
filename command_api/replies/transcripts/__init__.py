"""What a provider's bytes mean where audio is written down as it is heard.

Owns: the events of a transcript as they pass, our own count of its text, the most there can be.
Keeps: money rule 6; the end of a transcript is sent only once its charge is durable.
Does not: read a whole transcript (`operations/audio` does), or know routes or the ledger.
"""
