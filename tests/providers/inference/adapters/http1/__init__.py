"""Tests of providers/inference/adapters/http1."""
