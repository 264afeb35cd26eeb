"""Tests of command_api/token_counts."""
