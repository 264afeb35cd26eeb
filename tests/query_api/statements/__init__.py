"""Customers' monthly statements."""
