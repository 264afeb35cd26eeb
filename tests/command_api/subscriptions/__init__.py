"""Tests of subscriptions, over HTTP and in the background."""
