"""Roles, as admins look them up: a user's, a role's users, and what a role may.

Owns: the reading routes below /admin/roles.
Keeps: P5: that an admin was shown a user's role is in the log before it is shown.
Does not: change a role (command_api).
"""
