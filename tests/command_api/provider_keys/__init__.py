"""Tests of customers' own provider keys."""
