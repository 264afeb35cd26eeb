"""The facts: every event there is, by whom it concerns.

Owns: their names on the wire and their members.
Keeps: P5: a shape is never changed, only followed by a new version.
Does not: decide or fold.
"""
