"""Tests of coupons: what makes them, and what they give."""
