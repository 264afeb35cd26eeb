"""Tests of command_api/roles."""
