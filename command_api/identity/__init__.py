"""Who calls, and their secrets.

Owns: users and API keys, the look-up of keys, the installation's secret and data keys.
Keeps: P5: keys are known by their hash, personal data is encrypted with the user's own key.
Does not: give credits, or know a route.
"""
