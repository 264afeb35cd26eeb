"""Tests of domain/provider_keys."""
