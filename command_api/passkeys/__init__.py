"""Passkeys (WebAuthn): registered by who signed in, and a way in by themselves.

Owns: `/auth/passkeys…` and their table.
Keeps: P5: what is stored of a passkey is sealed with the user's data key, its id is a digest.
Does not: trust a request for its own address: origin and RP id come from the settings.
"""
