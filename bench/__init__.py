"""Workloads with results. Nothing imports this; timed figures never stand in a test."""
