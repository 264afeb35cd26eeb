"""Tests of command_api/mcp."""
