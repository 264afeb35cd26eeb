"""People who register and sign in: passwords, sessions, mailed tokens.

Owns: `/auth/…`, access and refresh tokens, how often one may try, the mails about them.
Keeps: P5: no password, token or address in an event; what is stored is sealed or hashed. Known and
unknown addresses are answered alike, where the contract does not say otherwise.
Does not: know API keys' use in calls, or move money but for the trial.
"""
