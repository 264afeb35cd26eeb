"""Reminders: mails before credits end, and when a trial has ended.

Owns: the manager `reminders`, which looks again when a mail's time has come.
Keeps: P8: one mail for each lot and kind, whatever dies or is rebuilt.
Does not: say when a mail is due (`domain/reminders`), or carry it (`command_api/mails`).
"""
