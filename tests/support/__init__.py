"""What tests share: gateways, upstreams, histories, processes."""
