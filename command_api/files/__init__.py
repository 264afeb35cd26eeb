"""Files of accounts, as in OpenAI's Files API: uploaded, listed, read, deleted.

Owns: their rows and chunks, sealed with the owner's data key; what a form says of its file.
Keeps: P5: another account's file is as good as none, and with the data key goes what it holds.
Does not: read a form (`uploads` does), look into a file, or run anything (`batches` does).
"""
