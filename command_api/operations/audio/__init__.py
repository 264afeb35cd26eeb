"""/v1/audio/transcriptions and /v1/audio/translations: what a form asks, bounds, and is answered.

Owns: the fields and what they mean for a price, the length of a file, what a transcript says.
Keeps: money rules 1 and 2 for seconds that nobody knows before they are heard.
Does not: read the form (`uploads` does), or call a provider.
"""
