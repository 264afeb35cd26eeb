"""What users say of themselves, and their leaving.

Owns: `/user/profile` and `/user/account`.
Keeps: P5: what is said is sealed with the user's data key; who leaves takes that key along, and
money stays as it was.
Does not: sign anybody in.
"""
