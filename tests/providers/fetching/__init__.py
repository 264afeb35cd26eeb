"""Tests of providers/fetching."""
