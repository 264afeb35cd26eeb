"""What a realtime session uses: what it can cost next, and what it has cost so far. Pure.

Owns: the counts of audio and text that go through a session, and how its responses add up.
Keeps: P1 and money rules 2, 4 and 6 where one call is many responses.
Does not: read frames, place holds or know a connection.
"""
