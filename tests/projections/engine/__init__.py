"""Tests of projections/engine."""
