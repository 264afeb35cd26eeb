"""Tests of command_api/guardrails."""
