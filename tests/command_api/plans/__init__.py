"""Tests of plans: assigned, and binding calls."""
