"""Tests of automatic top-ups, over HTTP and in the background."""
