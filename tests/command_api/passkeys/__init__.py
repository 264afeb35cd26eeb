"""Tests of command_api/passkeys."""
