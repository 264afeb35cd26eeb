"""Who users are elsewhere: signing in by OpenID Connect, GitHub and Privy, and the links to users.

Owns: `/auth/oidc/…`, `/auth/identities…`, `/auth/login/exchange`, `POST /auth`.
Keeps: P5: who somebody is elsewhere stands in no event, and in the table sealed and hashed.
Does not: believe a provider's address where it is not verified, or a request about who it is of.
"""
