"""The vector of a text, as a call of the caller whose request needs it.

Owns: asking the operator's embeddings model from within the process, and reading what it says.
Keeps: P2, P3 (a vector is held for, priced, limited and settled as any call).
Does not: look for answers, or let a call wait for a vector for longer than it may.
"""
