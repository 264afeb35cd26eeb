"""Automatic top-ups: an account that has too little is charged by its saved card.

Owns: `/user/auto-top-up`, and the background work that looks after accounts with too little.
Keeps: P3: one charge for each cause, never two at once, over any number of processes; P2: a charge
whose outcome nobody heard is asked for again under the same key. P4: the cap of a month is exact.
Does not: decide when one is due (`domain/topups`), speak Stripe's protocol (`providers/payments`),
or give credits (`command_api/payments`, which is handed over as a port).
"""
