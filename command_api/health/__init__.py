"""How models and providers are doing, whether they can be had, and what operators do about it.

Owns: the routes below /health and /availability that read, check, switch the monitor and set
maintenance; the monitor's rounds, of which one process of all gateways makes each.
Keeps: P10: a check costs nothing, and takes a bounded time and space, whatever the list answers;
what is told is computed from what was tried, checked and set, and is unknown where nothing was.
Does not: choose offers (`command_api/routing`), or count attempts (`projections/catalog`).
"""
