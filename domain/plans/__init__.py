"""Plans: what a user's own account may use by day and month, and how fast.

Owns: the catalog of plans, which quotas and rate limits a plan comes to, the life of a user's plan.
Keeps: money rule 13: a plan's limits are quotas, and nothing is reset by a job.
Does not: sell plans, or count (`domain/quotas` and the append; `domain/limits`).
"""
