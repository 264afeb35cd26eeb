"""Tests of bodies in the form of Anthropic's Messages."""
