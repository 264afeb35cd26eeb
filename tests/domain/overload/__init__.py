"""Tests of domain/overload."""
