"""Random patterns of RE2, and random texts that they may be found in."""

from __future__ import annotations

from hypothesis import strategies as st

texts = st.text(st.sampled_from("aabbcK\n1_ éſ"), max_size=12)

SHARED = [
    "a",
    "b",
    "ab",
    "[ab]",
    "[^a]",
    ".",
    r"\w",
    r"\D",
    r"\s",
    r"\b",
    r"\A",
    r"\Z",
    "(?m:^)",
    "(?m:$)",
    "(?s:.)",
    "",
]
"""What Python's `re` writes and means alike (with re.ASCII), but for the end of the text, which is \\z here."""
_OWN = [r"\z", "$", "^", r"\B", "(?i:k)", "(?i:[^k])", r"\pL", r"\PN", "[[:^alpha:]]", r"\Q.\E", r"\x{61}"]
_REPEATS = ["*", "+", "?", "{2}", "{0,2}", "{1,3}", "{2,}", "{0}", "*?", "+?", "{1,2}?"]


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda branches: f"(?:{'|'.join(branches)})"),
        st.tuples(inner, st.sampled_from(_REPEATS)).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


shared_patterns = st.recursive(st.sampled_from(SHARED), _joined, max_leaves=6)
patterns = st.recursive(st.sampled_from([each for each in SHARED if each != r"\Z"] + _OWN), _joined, max_leaves=8)
anchored_patterns = patterns.map(lambda pattern: "^" + pattern)
