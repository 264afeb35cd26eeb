"""Tests of query_api/rankings."""
