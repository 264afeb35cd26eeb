"""Who did what, when, from where: one line for each act on keys, roles, users, limits and credits.

Owns: `audit_log`, and the table that says of each event whether and how it is told.
Keeps: P5: a line has what the table names and nothing else, so no key, hash or ciphertext; P8: it
is the same whether it is read from the read model or folded from the log.
Does not: tell of calls, which have their own story, or of what nobody did.
"""
