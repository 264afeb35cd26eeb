"""What a provider's bytes mean: answers, usage, failures, and streams piece by piece.

Owns: the table of failures, waits, usage reports, our own count, OpenAI's types and what is mended
to fit them, SSE.
Keeps: money rule 6 (the provider's last report counts) on whatever came.
Does not: know routes, offers or the ledger; everything here is told by bytes and arguments.
"""
