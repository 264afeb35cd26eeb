"""Tests of plans as they are read."""
