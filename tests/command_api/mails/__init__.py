"""Tests of command_api/mails."""
