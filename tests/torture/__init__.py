"""The gateway under `kill -9`, amid all that is hostile, and the books checked after it.

Owns: the load, the hostile upstream and clients, the killing, the bystander's clock, the counting
of what was lost, double, overspent or left over. `make torture SECONDS=600` runs it for long;
`tests/e2e/test_torture.py` runs a short fixed set.
Keeps: P1, P2, P3, P12 are counted here, from the log itself, and never believed.
Does not: measure throughput (that is `bench/`), nor use anything of the gateway's own but its
program, its HTTP, and the reading of its log.
"""
