"""Tests of command_api/sessions."""
