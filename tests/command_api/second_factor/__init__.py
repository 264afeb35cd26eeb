"""Tests of command_api/second_factor."""
