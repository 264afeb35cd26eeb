"""The audit over HTTP: one's own, and anyone's for admins.

Owns: GET /audit with its exports, /user/api-keys/audit-logs, /admin/roles/audit/log.
Keeps: P5: an admin's look at another's audit is itself a line of it, written before it is shown.
Does not: decide what is told of an event: that is the table in `projections/audit`.
"""
