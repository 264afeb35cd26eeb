"""Google Vertex AI: Gemini's chat, its embedding models, Imagen, and Google's login.

Owns: how bodies, replies and streams of OpenAI's read there, and where the bearer token is from.
Keeps: P10 (what has no counterpart is refused by name) and money rule 6: its own counts.
Does not: know HTTP beyond one client and the request for a token.
"""
