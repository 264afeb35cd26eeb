"""The verbs about who may do what, and who did what: roles and the audit.

Owns: `gatewayz role` and `gatewayz audit`.
Keeps: nothing of its own, as the room around it: the first admin can be made here alone.
Does not: decide, or write to the log by itself.
"""
