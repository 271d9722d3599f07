"""GenerationState crosses every seam whole. A new field must be added to FULL, with a value that is not its default."""

import msgspec
import pytest

from edgewise.generation.state import RANK_MAX, SALT_MAX_BYTES, GenerationState, Message, Sampling

FULL_SAMPLING = Sampling(
    temperature=0.7,
    top_p=0.9,
    top_k=40,
    min_p=0.05,
    frequency_penalty=0.1,
    presence_penalty=-0.2,
    logit_bias={5: -1.5, 7: 2.0},
    repetition_penalty=1.2,
)
FULL = GenerationState(
    prompt_ids=(1, 2, 3),
    messages=(Message("user", "你好"),),
    model="family",
    max_tokens=64,
    seed=2**63,
    sampling=FULL_SAMPLING,
    output_ids=(4, 5),
    output_text="ab",
    choice=1,
    stops=("\n",),
    eos_ids=(1,),
    grammar="root ::= 1",
    tools=msgspec.Raw(b"[]"),
    tokenizer_digest="t",
    template_digest="c",
    model_version="v",
    numerics_id="n",
    local_only=True,
    probabilities=True,
    salt=b"\x00\xff of an owner",
    alone=True,
    tenant=b"\xfe of several keys",
    rank=-3,
)


def test_every_field_is_listed_with_a_value_of_its_own() -> None:
    bare = GenerationState(prompt_ids=(), messages=(), model="", max_tokens=0, seed=0)
    same = [name for name in GenerationState.__struct_fields__ if getattr(FULL, name) == getattr(bare, name)]
    assert same == []
    assert [n for n in Sampling.__struct_fields__ if getattr(FULL_SAMPLING, n) == getattr(Sampling(), n)] == []


def test_every_field_survives_the_wire() -> None:
    for codec in (msgspec.msgpack, msgspec.json):
        decoded = codec.decode(codec.encode(msgspec.structs.replace(FULL, tools=None)), type=GenerationState)
        assert decoded == msgspec.structs.replace(FULL, tools=None)


def test_a_state_of_a_peer_that_knows_no_salt_has_none() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.structs.replace(FULL, tools=None)))
    del fields["salt"]
    assert msgspec.convert(fields, GenerationState).salt == b""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=GenerationState).salt == b""


def test_a_state_of_a_peer_that_knows_no_repetition_penalty_has_none() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.structs.replace(FULL, tools=None)))
    del fields["sampling"]["repetition_penalty"]
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=GenerationState)
    assert old.sampling == msgspec.structs.replace(FULL_SAMPLING, repetition_penalty=1.0)
    assert b"repetition_penalty" not in msgspec.msgpack.encode(old)  # nor is an older peer told of what is off


def test_a_salt_longer_than_names_can_be_keyed_by_is_refused() -> None:
    longest = msgspec.structs.replace(FULL, tools=None, salt=bytes(SALT_MAX_BYTES))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(longest), type=GenerationState) == longest
    too_long = msgspec.structs.replace(longest, salt=bytes(SALT_MAX_BYTES + 1))
    with pytest.raises(msgspec.ValidationError, match="salt"):
        msgspec.msgpack.decode(msgspec.msgpack.encode(too_long), type=GenerationState)


def test_a_state_of_a_peer_that_knows_no_rank_stands_in_the_middle() -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.structs.replace(FULL, tools=None)))
    del fields["rank"], fields["tenant"]
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=GenerationState)
    assert (old.rank, old.tenant) == (0, b"")


@pytest.mark.parametrize("rank", [RANK_MAX + 1, -RANK_MAX - 1, 2**60])
def test_a_rank_beyond_all_that_gateways_give_is_refused(rank: int) -> None:
    with pytest.raises(msgspec.ValidationError, match="rank"):
        msgspec.msgpack.decode(
            msgspec.msgpack.encode(msgspec.structs.replace(FULL, tools=None, rank=rank)), type=GenerationState
        )


def test_advancing_changes_only_what_was_said() -> None:
    later = FULL.advanced((6,), "c")
    assert (later.output_ids, later.output_text, later.budget) == ((4, 5, 6), "abc", 61)
    assert msgspec.structs.replace(later, output_ids=FULL.output_ids, output_text="ab") == FULL
