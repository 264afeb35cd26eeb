"""What our own traffic says of providers and models.

Owns: the sums behind the statistics of providers and gateways.
Keeps: nothing of its own; figures are by whole hours.
Does not: serve HTTP: the catalog's routes show these figures beside the offers.
"""
