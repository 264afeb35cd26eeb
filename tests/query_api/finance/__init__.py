"""The books over HTTP."""
