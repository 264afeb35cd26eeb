"""Tests of command_api/money."""
