"""Tests of event_store/append."""
