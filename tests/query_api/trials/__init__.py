"""Tests of trials as they are read."""
