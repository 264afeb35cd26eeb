"""Trials: what is left of the caller's, and how all of them go.

Owns: GET /trial/status and GET /admin/trial/analytics.
Keeps: money rule 10: what is shown is what the ledger has.
Does not: give a trial (`command_api/sign_in`).
"""
