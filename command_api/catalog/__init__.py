"""The offers: shown to callers, and told to the log.

Owns: the public routes of models and providers, the view they show, and the catalog's streams.
Keeps: P10 (a stale or unpriced model is listed as such) and P6 for prices: each is an event.
Does not: fetch lists (providers) or choose offers for a call (routing).
"""
