"""Inference upstreams: one port, an HTTP/1.1 adapter, a registry of offers, the simulator."""
