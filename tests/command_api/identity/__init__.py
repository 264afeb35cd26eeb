"""Tests of command_api/identity."""
