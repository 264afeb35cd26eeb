"""The machinery of one serving process, as operators look at it: lists, circuits, caches, pools.

Owns: GET /, /health and /ping, which are open to anybody; the admins' routes below /cache,
/health/gateways, /health/optimizations, /health/{gateway}, and those of the catalog below /admin.
Keeps: P10: what is fetched is bounded and asked for once, however many ask. Only admins see the
rest, and what they see is of the process that answers.
Does not: count calls (`projections/catalog/provider_health.py`), or decide whether calls can be
served (`serving/gateway.py`).
"""
