"""Tests of gifts between members."""
