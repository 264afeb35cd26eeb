"""Tests of projections/audit."""
