"""Tests of command_api/replies/replayed."""
