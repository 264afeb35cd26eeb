"""Organisations: who is a member, what each may do, and whose account a project's keys draw on.

Owns: the tables of members' roles, the deciders of organisations and projects, the fold of all
memberships.
Keeps: money rule 14: an account belongs to one organisation, a key to one project; an organisation
has an owner for as long as it is open.
Does not: know names, addresses or credits; every user's personal organisation needs no events.
"""
