"""Tests of projections/hosting."""
