"""Tests of providers/invoices."""
