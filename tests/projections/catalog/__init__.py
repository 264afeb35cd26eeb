"""Tests of projections/catalog."""
