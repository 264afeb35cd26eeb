"""Tests of command_api/cli/people."""
