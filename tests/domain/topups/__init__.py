"""Tests of automatic top-ups, without I/O."""
