"""What a provider's bytes mean where an image is made bit by bit.

Owns: the events of an image as they pass, our own count of it, the most there can be.
Keeps: money rule 6; the image itself is sent only once its charge is durable.
Does not: look at a picture, read a whole answer (`operations/images` does), or know the ledger.
"""
