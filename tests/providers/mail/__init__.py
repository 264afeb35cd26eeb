"""Tests of providers/mail."""
