"""Tests of command_api/limit_counters."""
