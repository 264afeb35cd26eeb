"""Tests of command_api/identities."""
