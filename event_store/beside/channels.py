"""What the database tells the gateways of, at once; a look twice a second finds what it did not."""

from __future__ import annotations

KEYS_CHANNEL = "api_keys"
"""Whose keys are to be looked up anew: the payload is the id of a key, a user (whose role changed,
or who joined or left an organisation), a project or an organisation.
"""
LIMITS_CHANNEL = "rate_limits"
"""That limits were set or cleared; what they are stands in the table."""
