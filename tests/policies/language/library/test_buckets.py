"""Buckets: golden vectors, which every implementation shares."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.policies.language.library.calling import run


def test_buckets_are_the_same_for_ever() -> None:
    golden = {("tablet-1", "a"): 89.02937, ("tablet-2", "a"): 81.31354, ("平板", "实验"): 44.51708}
    assert [run("bucket", *key) for key in golden] == list(golden.values())


def test_a_missing_key_is_in_no_bucket() -> None:
    assert run("bucket", "", "salt") == 100.0


@given(st.text(min_size=1), st.text())
def test_a_bucket_is_below_100(key: str, salt: str) -> None:
    assert 0.0 <= run("bucket", key, salt) < 100.0
