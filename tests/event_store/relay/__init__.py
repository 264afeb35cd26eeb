"""Tests of event_store/relay."""
