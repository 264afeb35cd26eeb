"""Tests of the running of batches."""
