"""The verbs about the house's upkeep.

Owns: `gatewayz health`: show, check, and maintenance set, clear and list.
Keeps: what an operator sets at a shell is kept to by running gateways within seconds.
Does not: know circuits, which each serving process has for itself.
"""
