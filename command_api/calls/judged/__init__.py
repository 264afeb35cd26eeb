"""Calls that wait for a model's verdict on their prompt or their answer.

Owns: the calls that guards make to ask a model, and what of a stream waits for them.
Keeps: P2 and P3 (such a call is held, settled and told as any other, by the guarded one's caller).
Does not: say what a verdict means (`guardrails/moderating` does).
"""
