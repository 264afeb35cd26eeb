"""What stands beside the log of batches: their state, who runs one, and what is sealed.

Owns: what their events change in the table.
Keeps: P8: the state can be made anew from the log; counts, owners and what is sealed cannot.
Does not: run a batch, or open what is sealed.
"""
