"""What admins are shown of all customers: users, balances, use, and every line of every statement.

Owns: GET /admin/balance, /admin/monitor, /admin/users, /admin/users/{id} and
/admin/credit-transactions.
Keeps: P5: that an admin was shown others' data is in the log before it is shown; names and
addresses are not shown. P10: every page, sum and count has a maximum, and every query a time-out.
Does not: change anything; credits are given by `command_api/credits`.
"""
