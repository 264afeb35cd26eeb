"""Tests of the verbs about money."""
