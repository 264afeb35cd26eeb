"""Tests of command_api/organisations."""
