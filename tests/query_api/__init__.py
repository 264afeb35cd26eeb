"""Tests of query_api."""
