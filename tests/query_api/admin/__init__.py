"""Tests of what admins are shown."""
