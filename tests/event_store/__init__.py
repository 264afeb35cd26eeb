"""Tests of event_store."""
