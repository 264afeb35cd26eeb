"""Sessions, and what every way to one shares: attempts, what is good once, the second step.

Owns: access and refresh tokens, sessions, counts of attempts, one-time tokens.
Keeps: P5: what is stored is sealed or hashed; nobody is locked out by others.
Does not: know a way in: passwords, passkeys and providers are slices of their own.
"""
