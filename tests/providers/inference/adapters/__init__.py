"""Tests of providers/inference/adapters."""
