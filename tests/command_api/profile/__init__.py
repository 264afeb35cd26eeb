"""Tests of command_api/profile."""
