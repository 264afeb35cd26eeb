"""Tests of command_api/limits."""
