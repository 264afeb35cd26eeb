"""Files of accounts, as in OpenAI's Files API: uploaded, listed, read, deleted.

Owns: their rows and chunks, sealed with the owner's data key; the reading of multipart bodies.
Keeps: P5: another account's file is as good as none, and with the data key goes what it holds.
Does not: look into a file, or run anything (`batches` does).
"""
