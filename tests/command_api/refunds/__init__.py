"""Tests of what goes back: refunds, disputes, costs."""
