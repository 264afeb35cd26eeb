"""Tests of command_api/log_lines."""
