"""Tests of command_api/settings."""
