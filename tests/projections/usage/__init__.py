"""Tests of projections/usage."""
