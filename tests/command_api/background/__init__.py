"""Tests of `command_api/background`."""
