"""Tests of domain/limits."""
