"""Tests of domain/coupons."""
