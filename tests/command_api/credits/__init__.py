"""Tests of the credits that admins give."""
