"""Tests of domain/guardrails."""
