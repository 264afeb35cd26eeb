"""Tests of event_store/postgres."""
