"""The second step: codes of an authenticator (RFC 6238), and recovery codes for whoever lost it.

Owns: `/auth/totp…`, `/auth/second-factor`, `/auth/login/second-step`.
Keeps: P5: the secret is sealed with the user's data key, recovery codes are hashed under it.
Does not: ask for the first factor, or know who brought it.
"""
