"""Tests of providers/login."""
