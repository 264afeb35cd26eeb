"""Tests of command_api/serving."""
