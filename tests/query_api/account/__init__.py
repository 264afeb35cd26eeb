"""Tests of query_api/account."""
