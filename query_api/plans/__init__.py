"""Plans as users see them: which there are, the caller's own, what is left of it.

Owns: GET /plans…, /subscription/plans and /user/plan….
Keeps: what is shown as left is what the append would admit.
Does not: assign a plan (`command_api/plans`).
"""
