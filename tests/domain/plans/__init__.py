"""Tests of domain/plans."""
