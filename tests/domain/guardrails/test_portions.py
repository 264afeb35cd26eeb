"""Texts cut into what a model takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.guardrails.portions import BYTES_MIN, portions


def test_cuts_are_at_sentences_then_words_then_anywhere() -> None:
    """In this order (rule: contract)."""
    assert portions(["One two thr. Four five"], characters=14, bytes_max=None) == [
        "One two thr. ",
        "Four five",
    ]
    assert portions(["aaaa bbb cccc"], characters=10, bytes_max=None) == ["aaaa bbb ", "cccc"]
    assert portions(["abcdefgh"], characters=3, bytes_max=None) == ["abc", "def", "gh"]
    assert portions(["One.", " ", "Two."], characters=100, bytes_max=None) == ["One.\n\nTwo."]
    assert portions(["", "  "], characters=10, bytes_max=None) == []


@given(
    st.lists(st.text(max_size=60), max_size=5),
    st.integers(1, 40),
    st.none() | st.integers(BYTES_MIN, 60),
)
def test_nothing_is_left_out(texts: list[str], characters: int, bytes_max: int | None) -> None:
    """And each portion is within both maxima (rule: bounded)."""
    made = portions(texts, characters=characters, bytes_max=bytes_max)
    assert "".join("".join(made).split()) == "".join("".join(texts).split())
    for each in made:
        assert 0 < len(each) <= characters
        assert bytes_max is None or len(each.encode("utf-8", "surrogatepass")) <= bytes_max
