"""Tests of event_store/beside."""
