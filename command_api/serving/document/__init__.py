"""Parts of /openapi.json: how refusals are described, and the inference routes.

Owns: what each status says, the envelopes' schemas, the members of the inference routes' bodies.
Keeps: the contract with clients, by which they make themselves from the document.
Does not: look at the framework's routes; `serving/openapi` does, and puts all together.
"""
