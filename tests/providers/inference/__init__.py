"""Tests of providers/inference."""
