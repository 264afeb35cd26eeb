"""What is asked of models that make images of images, what that bounds, and how it is answered.

Owns: the fields and files of OpenAI's forms for edits and variations, which file is a picture.
Keeps: money rules 1 and 2 for pictures that are looked at; what is none is refused by name.
Does not: read a form (`uploads` does), know how pictures are billed (`domain/images`), or call.
"""
