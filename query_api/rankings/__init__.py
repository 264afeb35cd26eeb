"""Rankings of models and apps by our own traffic.

Owns: /ranking/models and /ranking/apps.
Keeps: P12: where the counters are away it says so.
Does not: name a user or an account.
"""
