"""Tests of `domain/batches`."""
