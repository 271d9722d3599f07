"""The look at start: kernels that are wrong serve nobody, bits that change in company make an engine inexact."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from cloud_worker.engine.exactness import keeps_bits
from cloud_worker.engine.gpu.attention import PagedAttention, Reads
from cloud_worker.engine.gpu.batch import FAST, Sizes
from cloud_worker.engine.gpu.decoder import GpuDecoder
from cloud_worker.engine.gpu.loading import found_exact, readable
from cloud_worker.engine.gpu.look import attention_keeps_bits
from cloud_worker.engine.model.base import DIGESTED_ROWS
from cloud_worker.engine.model.decoder import Decoder
from cloud_worker.engine.work import Segment
from edgewise.wire.errors import ConfigError
from tests.cloud_worker.engine.model.stepping import config_of, wild_decoder


class Altered(PagedAttention):
    """Attention whose rows are off by `error`, or by a last bit for every unit that is read in the same call."""

    error = 0.0
    by_company = False

    def __call__(self, layer: int, query: Tensor, reads: Reads) -> Tensor:
        mixed = super().__call__(layer, query, reads) + self.error
        units = int((reads.units[:, 1] > 0).sum())
        return mixed * (1 + units * torch.finfo(torch.float32).eps) if self.by_company else mixed


def decoder(sizes: Sizes, precision: str = "float32") -> GpuDecoder:
    torch.set_num_threads(1)
    sizes_of_model = {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 32,
        "max_position_embeddings": 96,
    }
    config = config_of(num_hidden_layers=1, **sizes_of_model)
    return GpuDecoder(config, wild_decoder(config, precision, 1).weights, 12, 96, sizes)


def altered(sizes: Sizes, *, error: float = 0.0, by_company: bool = False) -> GpuDecoder:
    made = decoder(sizes)
    made.attention = Altered(made.config, made.kv, 96)
    made.attention.error, made.attention.by_company = error, by_company
    return made


def test_a_machine_that_keeps_bits_is_exact() -> None:
    assert found_exact(decoder(Sizes(prompt=64, rows=16)))


class Noted(Decoder):
    """The CPU's decoder, noting how far it read."""

    furthest = 0

    def forward(self, segments: Sequence[Segment]) -> Tensor:
        self.furthest = max(self.furthest, *(segment.stop for segment in segments))
        return super().forward(segments)


def test_it_reads_no_further_than_a_decoder_has_room_for() -> None:
    config = config_of(num_hidden_layers=1, max_position_embeddings=4096)
    noted = Noted(config, wild_decoder(config, "float32", 1).weights, 64)
    assert keeps_bits(noted)
    assert 1024 < noted.furthest <= readable(64, config)


def test_sizes_that_follow_the_rows_promise_nothing() -> None:
    assert not found_exact(decoder(FAST, "bfloat16")), "its bits stay here, and nobody may rely on that"


def test_wrong_kernels_serve_nobody() -> None:
    for error in (1e-3, float("nan")):
        with pytest.raises(ConfigError, match="wrong on cpu"):
            attention_keeps_bits(altered(FAST, error=error))


def test_bits_that_change_in_company_are_seen() -> None:
    assert not attention_keeps_bits(altered(FAST, by_company=True))


def test_the_digest_is_of_the_sizes_that_serve() -> None:
    made = decoder(Sizes(prompt=64, rows=16))
    assert made.digested_rows == (16, 64)
    assert made.named == f"cpu, splits of {made.attention.split_keys} keys"
    assert decoder(FAST).digested_rows == DIGESTED_ROWS
