"""What providers billed beside what is on record of it.

Owns: `gatewayz reconcile provider`, below its verb.
Keeps: P4: compared exactly, within a tolerance that the operator names. Nothing is entered: what
does not match is named with why, and with what could be done.
Does not: read files (`providers/invoices`), or know prices.
"""
