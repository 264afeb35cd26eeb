"""Where a sentence ends, in a text that comes in pieces.

Source: after Unicode Standard Annex 29, sentence boundaries SB8 to SB11, far simpler: too many ends
only mean that less is waited for.
"""

from __future__ import annotations

import re

SENTENCE_CHARACTERS_MAX = 2_000
"""What has no end by then is passed on as if it had."""
_END = re.compile(r"[.!?…]['\")\]»”’]{0,3}\s|[。！？｡]|[\r\n]")


def end_of_sentences(text: str) -> int:
    """Where the last sentence ends that has an end, behind it; 0 for none."""
    end = 0
    for found in _END.finditer(text):
        end = found.end()
    return end
