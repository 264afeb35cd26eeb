"""Invoices of providers, beside what is on record."""
