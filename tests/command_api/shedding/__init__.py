"""Tests of command_api/shedding."""
