"""Clients that callers have, each in an environment of its own, against a real gateway."""
