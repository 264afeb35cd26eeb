"""Tests of `command_api/stored_responses`."""
