"""Tests of the Stripe double."""
