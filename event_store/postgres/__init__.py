"""The PostgreSQL underneath: how it is reached, started and migrated.

Owns: connections and roles, the embedded server and how it is launched, migrations.
Keeps: P5: the application's role can append and read events, nothing more.
Does not: know an event.
"""
