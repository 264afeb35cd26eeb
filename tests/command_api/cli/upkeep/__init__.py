"""Tests of the verbs about the house's upkeep."""
