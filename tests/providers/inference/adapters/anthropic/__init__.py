"""Tests of providers/inference/adapters/anthropic."""
