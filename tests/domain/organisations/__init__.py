"""Tests of domain/organisations."""
