"""The cloud version's directory: the user's weights in one safetensors file, byte for byte, and the files around it.

Tensors are copied from shard to file in blocks, so that memory does not grow with the model; their values stay as
they are, in the type that they are stored in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from cloud_worker.architectures import CONFIG_FILE
from cloud_worker.forge.export.checkpoint import WEIGHTS_FILE, Stored
from cloud_worker.forge.export.tokenizer_files import CONFIG, GENERATION
from cloud_worker.forge.import_model.check import Candidate
from edgewise.wire.manifest import TEMPLATE_FILE, TOKENIZER_FILE

_BLOCK_BYTES: Final = 1 << 20
Advance = Callable[[int], None]


def write_cloud_folder(candidate: Candidate, folder: Path, advance: Advance) -> Path:
    """Everything but card, findings and manifest; `advance(n)` is told of every n bytes of weights."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = {name: candidate.source.tensors[name] for name in candidate.sizes.tensors()}
    write_safetensors(wanted, folder / WEIGHTS_FILE, advance)
    (folder / CONFIG_FILE).write_text(json.dumps(candidate.config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / TEMPLATE_FILE).write_text(candidate.template, encoding="utf-8")
    shutil.copyfile(candidate.tokenizer_file, folder / TOKENIZER_FILE)
    for name in (CONFIG, GENERATION):
        if (candidate.source.directory / name).is_file():
            shutil.copyfile(candidate.source.directory / name, folder / name)
    return folder


def write_safetensors(tensors: Mapping[str, Stored], target: Path, advance: Advance) -> None:
    """One file of tensors that lie in others. Header padded to 8 bytes, as the library writes it."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, tensor in tensors.items():
        end = place + tensor.end - tensor.begin
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            _copy(tensor, file, advance)


def _copy(tensor: Stored, target: BinaryIO, advance: Advance) -> None:
    left = tensor.end - tensor.begin
    with tensor.file.open("rb") as file:
        file.seek(tensor.begin)
        while left and (block := file.read(min(left, _BLOCK_BYTES))):
            target.write(block)
            left -= len(block)
            advance(len(block))
    if left:
        raise OSError(f"{tensor.file}: {left} bytes of a tensor are gone; do not change the model while it is imported")
