"""Transcripts of what a session hears: which models make them, at which price, what they report.

Owns: the prices with transcripts that a hold states, the wish for them, and their events.
Keeps: P10, P3 and money rules 1 and 12 where a call uses a second model.
Does not: count them (`domain/realtime` does), or pass events on.
"""
