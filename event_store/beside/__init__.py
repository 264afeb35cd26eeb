"""What stands beside the log of users, keys, roles, organisations, limits and quotas, and is read.

Owns: what each event of an ordinary aggregate changes there, in the transaction that saves it; how
gateways hear of it; the queries of it.
Keeps: P8: all but secrets can be made anew from the log, which verification compares.
Does not: know money, but for what quotas count; append.
"""
