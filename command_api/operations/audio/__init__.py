"""What is asked of models that hear or speak, what that bounds, and how it is answered.

Owns: the fields of forms and bodies and what they mean for a price, what a transcript says.
Keeps: money rules 1 and 2 for seconds that nobody knows before they are heard or made.
Does not: read a form (`uploads` does) or audio (`replies/speech`), or call a provider.
"""
