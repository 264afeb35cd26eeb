"""Plans of users: assigned and ended by the house.

Owns: POST /admin/assign-plan; which quotas a user's plan comes to.
Keeps: money rule 13: the plan and its quotas are saved together; a plan that ends needs no job.
Does not: decide (`domain/plans`), count (the append), or show a plan (`query_api/plans`).
"""
