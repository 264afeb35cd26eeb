"""Mail: one port, and who carries it.

Owns: what a mail is, and the ways out: SMTP, Resend, and a folder for where there is neither.
Keeps: P5: no address and no text of a mail reaches the log file.
Does not: write texts, or try again: whoever sends decides.
"""
