"""Tests of command_api/calls."""
