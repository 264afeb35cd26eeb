"""The same conversations, held through each API with each kind of provider."""
