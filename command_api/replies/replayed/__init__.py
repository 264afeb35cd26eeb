"""A whole answer told as a stream, and a stream read back into the whole answer.

Owns: for each API the events of a whole answer, and the whole of a stream that ended well.
Keeps: nothing is lost on the way: a stream with what nobody here can put together is no answer.
Does not: decide what is kept (`kept_replies` does), or say what a replay costs (`calls` does).
"""
