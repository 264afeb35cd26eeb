"""Mails: what they say, and what carries them through the death of a process.

Owns: the texts, the table of mails that wait, their hand-over.
Keeps: P5: a mail waits encrypted, and goes with its user; P12: they wait
while whoever carries mails is away.
Does not: decide who is told what.
"""
