"""What guards do with texts: find personal data, put it back, find terms, wait for sentences.

Owns: detection, operators' patterns, placeholders, restoration, terms, and the walk over a body.
Keeps: work that grows with the text's length alone, and nothing restored that was not replaced.
Does not: read a file or a request, or know a stream's form.
"""
