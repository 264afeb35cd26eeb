"""Tests of stream_processors."""
