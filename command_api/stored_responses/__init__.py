"""Stored responses over HTTP: got, listed by their input, cancelled, deleted.

Owns: the routes below `/v1/responses/{id}`.
Keeps: P5 (what is told is the caller's own; another one's is as good as none).
Does not: store them (`kept_replies` does), run any (`background` does).
"""
