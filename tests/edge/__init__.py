"""Tests of what both HTTP sides share."""
