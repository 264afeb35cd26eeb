"""The built-in simulator: an upstream without a network.

Owns: its replies, streams, vectors and pictures, and the ways in which it fails when asked to.
Keeps: the port's promises, like any upstream.
Does not: use a clock for what it says, or chance; the same request gets the same bytes.
"""
