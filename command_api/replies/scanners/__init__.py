"""What scanners of streams share: events that pass as they came, media's, and one around another.

Owns: gathering lines into events, what is kept back before the first output, one count of it.
Keeps: bounded lines, events and beginnings.
Does not: know any API's events (`messages`, `responses`, `speech` and their neighbours do).
"""
