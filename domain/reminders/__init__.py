"""Reminders: which mails are due before credits end, and when a trial has ended.

Owns: what follows from a grant that has an end, and when.
Keeps: one wish for each lot and kind of mail, and none whose time is over when it is granted.
Does not: know whether anything is left by then, or whether anybody wants a mail.
"""
