"""Tests of domain/ledger."""
