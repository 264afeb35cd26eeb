"""The verbs about process managers.

Owns: `gatewayz managers list` and `retry`.
Keeps: what failed is seen with its reason, and tried again when somebody says so.
Does not: run a manager; the background process of a server does.
"""
