"""Tests of event_store/log."""
