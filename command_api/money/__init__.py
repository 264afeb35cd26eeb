"""Credits in and out, outside of calls.

Owns: grants: the operator's and the trial's; debits, transfers; corrections of what
calls were charged, one by one and by another price; what callers keep beside what they pay; what is
told where Stripe does not do what it is asked.
Keeps: P3 for grants: the same key gives once.
Does not: hold or settle calls (calls), or decide about lots (domain, the append).
"""
