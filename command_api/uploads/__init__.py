"""Files that callers send: read from a multipart body as it comes, kept in one unlinked file.

Owns: the reading of forms (RFC 7578), the room that all files of a process have on its disk.
Keeps: the rule of bounds: no file is held in memory, and each, and all together, have a maximum.
Does not: know what a file is for, or what it costs: that is for the operations.
"""
