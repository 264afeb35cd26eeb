"""Tests of command_api/catalog."""
