"""TextStream: text is a pure function of the ids, with any batching and any replay."""

from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.text import TextStream
from tests.factories.tokenizers import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
id_lists = st.lists(st.integers(0, TOKENIZER.vocab_size + 2), max_size=40) | st.text("ab 你好。😀", max_size=20).map(
    lambda text: list(TOKENIZER.encode(text))
)
stop_lists = st.lists(st.sampled_from(["a", "b 你", "好。", "😀", "\ufffd", "The", "ing"]), max_size=3)


def whole(ids: list[int], stops: list[str]) -> tuple[str, int]:
    stream = TextStream(TOKENIZER, stops)
    out = stream.push(ids)
    return out.text + stream.finish(), out.taken


@given(id_lists, stop_lists, st.data())
def test_batching_does_not_matter(ids: list[int], stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=5)))
    stream = TextStream(TOKENIZER, stops)
    outs = [stream.push(ids[a:b]) for a, b in zip([0, *cuts], [*cuts, len(ids)], strict=True)]
    text = "".join(out.text for out in outs) + stream.finish()
    assert (text, sum(out.taken for out in outs)) == whole(ids, stops)


@given(id_lists, stop_lists, st.integers(0, 40))
def test_replay_then_push_equals_push_of_all(ids: list[int], stops: list[str], cut: int) -> None:
    first = TextStream(TOKENIZER, stops)
    shown = first.push(ids[:cut]).text
    resumed = TextStream(TOKENIZER, stops, replay_ids=ids[:cut])
    assert resumed.stopped == first.stopped
    assert shown + resumed.push(ids[cut:]).text + resumed.finish() == whole(ids, stops)[0]


def test_ids_after_a_stop_are_not_taken() -> None:
    ids = [*TOKENIZER.encode("one"), *TOKENIZER.encode(" two"), *TOKENIZER.encode(" three")]
    stream = TextStream(TOKENIZER, ["tw"])
    out = stream.push(ids)
    assert (out.text, out.stopped) == ("one ", True)
    assert out.taken < len(ids)
    assert stream.push(ids).taken == 0


@given(st.text("ab 你好。😀", max_size=20), stop_lists, st.integers(0, 20))
def test_what_a_text_engine_showed_is_not_shown_again(text: str, stops: list[str], cut: int) -> None:
    """It shows the beginning of a stop string as well, which is held back here."""
    shown, ids = text[:cut], TOKENIZER.encode(text[:cut])
    stream = TextStream(TOKENIZER, stops, ids, shown_chars=len(shown))
    rest = stream.push(TOKENIZER.encode(text[cut:])).text + stream.finish()
    expected, _ = whole([*ids, *TOKENIZER.encode(text[cut:])], stops)
    assert shown + rest == (expected if len(expected) >= len(shown) else shown)


def test_the_beginning_of_a_stop_string_that_was_shown_still_ends_the_answer() -> None:
    stream = TextStream(TOKENIZER, ["\n\n"], TOKENIZER.encode("one\n"), shown_chars=4)
    assert stream.push(TOKENIZER.encode("two")).text == "two"
    stream = TextStream(TOKENIZER, ["\n\n"], TOKENIZER.encode("one\n"), shown_chars=4)
    out = stream.push(TOKENIZER.encode("\ntwo"))
    assert (out.text, out.stopped) == ("", True)
