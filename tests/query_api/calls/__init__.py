"""Tests of query_api/calls."""
