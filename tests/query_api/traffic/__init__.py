"""Tests of query_api/traffic."""
