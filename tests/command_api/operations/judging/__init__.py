"""Tests of bodies that ask for a judgement."""
