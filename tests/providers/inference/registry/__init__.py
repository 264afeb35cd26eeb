"""Tests of providers/inference/registry."""
