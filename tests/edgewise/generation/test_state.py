"""GenerationState crosses every seam whole. A new field must be added to FULL, with a value that is not its default."""

import msgspec

from edgewise.generation.state import GenerationState, Message, Sampling

FULL_SAMPLING = Sampling(
    temperature=0.7,
    top_p=0.9,
    top_k=40,
    min_p=0.05,
    frequency_penalty=0.1,
    presence_penalty=-0.2,
    logit_bias={5: -1.5, 7: 2.0},
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


def test_advancing_changes_only_what_was_said() -> None:
    later = FULL.advanced((6,), "c")
    assert (later.output_ids, later.output_text, later.budget) == ((4, 5, 6), "abc", 61)
    assert msgspec.structs.replace(later, output_ids=FULL.output_ids, output_text="ab") == FULL
