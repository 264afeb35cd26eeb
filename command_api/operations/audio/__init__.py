"""/v1/audio/transcriptions and /v1/audio/translations: what a form asks, bounds, and is answered.

It owns the fields and what they mean for a price. The form itself is read by `command_api.uploads`.
"""
