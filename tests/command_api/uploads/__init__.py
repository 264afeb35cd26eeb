"""Tests of command_api/operations."""
