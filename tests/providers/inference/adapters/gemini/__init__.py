"""Tests of providers/inference/adapters/gemini."""
