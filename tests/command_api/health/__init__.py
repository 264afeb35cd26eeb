"""Tests of health, availability and maintenance."""
