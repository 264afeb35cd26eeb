"""Tests of domain/routing."""
