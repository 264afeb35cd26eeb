"""Tests of query_api/api_keys."""
