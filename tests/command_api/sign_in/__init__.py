"""Tests of command_api/sign_in."""
