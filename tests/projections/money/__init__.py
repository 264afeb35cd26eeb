"""Tests of projections/money."""
