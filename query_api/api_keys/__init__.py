"""A user's API keys, as they stand and as they were used.

Owns: GET /user/api-keys, /user/api-keys/usage and /user/environment-usage.
Keeps: P5: a key is shown masked. P6: who asks for usage sees what was booked before.
Does not: change a key (`command_api/api_keys`), or count its calls (the read model `key_usage`).
"""
