"""What a provider makes us fetch: redirects, and whatever else it names by a URL.

Owns: which addresses may be asked for somebody else's sake, and the fetching of lists.
Keeps: P12, and that no provider's answer reaches other hosts than the public ones it names.
Does not: know what is fetched, or what it is for. URLs that the operator set are asked as they
stand, for who may set them owns the network that they are in.
"""
