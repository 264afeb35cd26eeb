"""Tests of domain/availability."""
