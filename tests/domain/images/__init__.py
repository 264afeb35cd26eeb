"""Tests of domain/pricing."""
