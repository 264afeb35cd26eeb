"""The routes by which users make and change their own API keys.

Owns: POST, PUT and DELETE of /user/api-keys, and their bodies.
Keeps: P5: a whole key is told once, where it is written. No key gives more than it has itself.
Does not: decide (`domain/identity`), lock or append (`command_api/identity/keys.py`), or list.
"""
