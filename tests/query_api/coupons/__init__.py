"""Tests of coupons as they are read."""
