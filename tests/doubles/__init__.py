"""Doubles of what is outside, as fixtures of the tests."""
