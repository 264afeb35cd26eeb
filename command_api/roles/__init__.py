"""Who may do what: changes of roles, and the notes of what admins were shown.

Owns: POST /admin/roles/update, the command behind it and behind `gatewayz role`, the event that an
admin read another user's data.
Keeps: P5: where a request came from stands in events as a keyed hash. A change counts at once in
the process that did it, and within a second in the others.
Does not: read roles for show (query_api), or know what a role may: that is the domain's table.
"""
