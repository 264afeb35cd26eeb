"""Tests of domain/realtime."""
