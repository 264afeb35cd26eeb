"""Tests of command_api/api_keys."""
