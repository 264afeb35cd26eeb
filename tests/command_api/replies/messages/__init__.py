"""Tests of command_api/replies/messages."""
