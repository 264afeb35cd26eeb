"""Tests of payments, without I/O."""
