"""Tests of the translation of bare prompts."""
