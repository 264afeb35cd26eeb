"""Tests of providers/redis."""
