"""Tests of command_api/quotas."""
