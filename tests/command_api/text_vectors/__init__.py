"""Tests of command_api/kept_replies."""
