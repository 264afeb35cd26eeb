"""Tests of command_api/processes."""
