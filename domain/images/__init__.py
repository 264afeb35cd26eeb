"""How many tokens an image or a document of a prompt can be at a model.

Owns: the size that an image's own header tells, the formulas by which providers bill images and
documents, the table of which model is billed by which.
Keeps: P1 and money rule 2, with `domain.ledger.holds`.
Does not: fetch or decode a picture, know a price, settle a call.
"""
