"""Tests of `command_api/realtime/transcripts`."""
