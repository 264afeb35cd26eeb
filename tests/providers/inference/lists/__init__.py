"""Tests of providers/inference/lists."""
