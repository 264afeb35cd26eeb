"""Guards look at prompts before anything is held, and at answers before the caller has them.

Owns: the port of a guard, those built in, the operator's file, and what a guard says of a call.
Keeps: P10 (a guard that fails follows its written rule), and no matched text in any event or log.
Does not: hold, charge, or read a provider's stream but through what reads it already.
"""
