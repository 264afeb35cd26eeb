"""Tests of command_api/routing."""
