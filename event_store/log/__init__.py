"""The log as such: its encoding, its order, and ordinary aggregates through the library.

Owns: decoding, reading by position or stream, partitions, the library's recorder under our lock.
Keeps: P5 (only appends) and P7 (nothing below a position appears later).
Does not: move money.
"""
