"""Tests of answers that accounts give to each other."""
