"""Tests of query_api/audit."""
