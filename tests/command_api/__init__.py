"""Tests of command_api."""
