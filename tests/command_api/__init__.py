"""Tests of the write side, over real HTTP."""
