"""Organisations: members and their roles, invitations, projects, and the keys of projects.

Owns: `/organisations/…` and `/user/invitations/…`.
Keeps: money rule 14. Whoever is no member learns nothing of an organisation, not that it is there.
Does not: decide (`domain/organisations`), make keys (`command_api/api_keys`), or show credits
(`query_api/account`).
"""
