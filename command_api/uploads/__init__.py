"""Files that callers send: read from a multipart body as it comes, kept in an unlinked file.

Keeps the rule of bounds: no file is held in memory, and all of a process have a named maximum on
its disk. It knows forms and files, and nothing of what they are for: that is for the operations.
"""
