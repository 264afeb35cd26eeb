"""Credits that members of an organisation give each other.

Owns: POST /organisations/{id}/gifts.
Keeps: money rule 16: both sides or neither, lots as they are; P3: with an Idempotency-Key once. Who
gave it, and why, stands in the audit and on the statement of both.
Does not: append by itself (`command_api/money`), or decide which lots move (domain, the append).
"""
