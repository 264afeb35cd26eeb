"""Answers that callers give to other accounts, where the operator and they say so.

Owns: which requests may be shared at all, the rows, and how an answer is told to a stranger.
Keeps: P5 (each is sealed with the data key of whose it is, and goes when they leave).
Does not: opt anybody in, or look for near texts; or say what a found answer costs.
"""
