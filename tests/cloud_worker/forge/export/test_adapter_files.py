"""Adapters from PEFT's layout: what a device computes is torch's y = W x + s B A x, and what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cloud_worker.forge.export.adapter_files import PeftAdapterError, convert_adapter
from cloud_worker.forge.export.adapter_inputs import MODULES, add_adapter_inputs
from cloud_worker.forge.export.errors import CheckpointFileError, CombinationRefusedError, GraphUnfitError
from cloud_worker.forge.export.folder import assemble, write_model_manifest
from cloud_worker.forge.export.graphs import load_graph, save_graph
from cloud_worker.forge.export.options import ExportOptions
from cloud_worker.forge.export.report import graph_facts, rows
from cloud_worker.forge.quantize.divergence import Divergence
from cloud_worker.forge.quantize.methods.base import FloatModel
from cloud_worker.forge.quantize.methods.registry import method
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edgewise.cli.main import run
from edgewise.graphs import Adapter, DecoderGraph, Logits
from edgewise.graphs.adapter_file import AdapterUnfitError, read_adapter
from edgewise.wire.manifest import load_manifest
from tests.edge_agent.runtime.drive import NO_EOS, answer, state
from tests.factories.peft import lora_tensors, peft_config, write_peft

RANK = 8
IDS = [(11 + 37 * place) % 500 for place in range(24)]


@pytest.fixture(scope="module")
def base(float_model: FloatModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model directory that takes adapters."""
    return base_of(float_model, float_model.graph, tmp_path_factory.mktemp("float-base"))


def base_of(model: FloatModel, graph: Path, place: Path, modules: tuple[str, ...] = MODULES) -> Path:
    place.mkdir(exist_ok=True)
    made = save_graph(add_adapter_inputs(load_graph(graph), RANK, modules), place / "with.onnx")
    folder = assemble("edge", made, model.directory / "config.json", model.tokenizer_file, place)
    write_model_manifest(folder, "edge", "test", name="small")
    return folder


def torch_model(model: FloatModel, tensors: dict[str, Any], scale: float) -> Any:
    """The transformers model with W + scale B A in the place of each W."""
    merged: Any = AutoModelForCausalLM.from_pretrained(model.directory, dtype=torch.float32, local_files_only=True)
    with torch.no_grad():
        for name, low in tensors.items():
            if name.endswith("lora_A.weight"):
                path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
                high = torch.from_numpy(tensors[name.replace("lora_A", "lora_B")])
                merged.get_submodule(path).weight += scale * high @ torch.from_numpy(low)
    return merged.eval()


def torch_logits(model: Any) -> Logits:
    with torch.inference_mode():
        return np.asarray(model(torch.tensor([IDS])).logits[0].numpy(), np.float32)


def our_logits(folder: Path, adapter: Path | None) -> Logits:
    graph = DecoderGraph.load(folder / "model.onnx")
    row = graph.new_row(64)
    if adapter is not None:
        row.use(Adapter.fit(read_adapter(adapter), graph.shape.adapter, graph.shape.layers))
    return row.forward(IDS, rows=len(IDS)).copy()


@pytest.mark.parametrize(
    ("changed", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0), ({"lora_alpha": 3}, 0.75)], ids=["plain", "rs", "3"]
)
def test_logits_are_torchs(
    float_model: FloatModel, base: Path, tmp_path: Path, changed: dict[str, Any], scale: float
) -> None:
    tensors = lora_tensors(float_model.sizes)
    told = convert_adapter(write_peft(tmp_path / "poet", peft_config(**changed), tensors), base, tmp_path)
    assert (told.file, told.rank, told.base) == (str(tmp_path / "poet.adapter"), 4, load_manifest(base).id)
    assert set(told.modules) == set(MODULES)
    expected = torch_logits(torch_model(float_model, tensors, scale))
    found = our_logits(base, Path(told.file))
    assert np.abs(found - expected).max() < 2e-4
    assert np.abs(our_logits(base, None) - expected).max() > 1.0


def test_a_greedy_answer_is_torchs_arg_max_path(float_model: FloatModel, base: Path, tmp_path: Path) -> None:
    tensors = lora_tensors(float_model.sizes, seed=2)
    told = convert_adapter(write_peft(tmp_path / "poet", peft_config(), tensors), base, tmp_path)
    engine = OnnxEngine.load(base, EngineOptions(adapters={"poet": Path(told.file)}))
    said = answer(engine, state(tuple(IDS), temperature=0.0, max_tokens=16, model="small:poet", eos_ids=NO_EOS))
    model, ids = torch_model(float_model, tensors, 2.0), list(IDS)
    with torch.inference_mode():
        for _ in range(16):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert said == tuple(ids[len(IDS) :])
    assert said != answer(engine, state(tuple(IDS), temperature=0.0, max_tokens=16, model="small", eos_ids=NO_EOS))


def test_fused_and_rounded_matrices_take_adapters_for_each_of_their_modules(
    float_model: FloatModel, tmp_path: Path
) -> None:
    graph = method("int8-block32").quantize(float_model, None, tmp_path / "int8.onnx")
    folder = base_of(float_model, graph, tmp_path / "base")
    assert set(DecoderGraph.load(folder / "model.onnx").shape.adapter.sites) == {  # type: ignore[union-attr]
        "qkv_proj",
        "o_proj",
        "gate_up_proj",
        "down_proj",
    }
    bare = our_logits(folder, None)
    assert np.array_equal(bare, DecoderGraph.load(graph).new_row(64).forward(IDS, rows=len(IDS)))
    for module in MODULES:
        tensors = lora_tensors(float_model.sizes, modules=(module,))
        told = convert_adapter(write_peft(tmp_path / module, peft_config(), tensors), folder, tmp_path)
        expected = torch_logits(torch_model(float_model, tensors, 2.0))
        rounding = np.abs(bare - torch_logits(torch_model(float_model, {}, 0.0))).max()
        assert np.abs(our_logits(folder, Path(told.file)) - expected).max() < 4 * rounding, module
        assert np.abs(bare - expected).max() > 6 * rounding, module


def test_modules_that_were_asked_for_bring_the_rest_of_their_matrix(float_model: FloatModel, tmp_path: Path) -> None:
    folder = base_of(float_model, float_model.graph, tmp_path, ("q_proj",))
    shape = DecoderGraph.load(folder / "model.onnx").shape.adapter
    assert shape is not None and shape.modules == ("q_proj", "k_proj", "v_proj")
    facts = graph_facts(folder / "model.onnx")
    assert ("adapters", "rank 8 in q_proj, k_proj, v_proj") in rows(
        "fp32", facts, Divergence(1, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0)
    )


def test_ranks_and_strengths_of_single_modules_are_read(float_model: FloatModel, base: Path, tmp_path: Path) -> None:
    tensors = lora_tensors(float_model.sizes, modules=("q_proj",))
    tensors |= lora_tensors(float_model.sizes, rank=2, modules=("down_proj",))
    config = peft_config(rank_pattern={"down_proj": 2}, alpha_pattern={"mlp.down_proj": 5, r"layers.0": 9})
    told = convert_adapter(write_peft(tmp_path / "x", config, tensors), base, tmp_path / "x.adapter")
    matrices = read_adapter(Path(told.file)).matrices
    low = tensors["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"]
    assert np.array_equal(matrices["1.down_proj.b"], low.T * np.float32(2.5))
    assert matrices["0.q_proj.a"].shape == (64, 4)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"peft_type": "IA3"}, "not LoRA"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"layer_replication": [[0, 2]]}, "repeats layers"),
        ({"r": 5}, "says 5"),
        ({"r": 0}, "r is 0"),
        ({"r": "4"}, "r is 4"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"rank_pattern": [1]}, "rank_pattern"),
    ],
    ids=["dora", "ia3", "bias", "saved", "layers", "rank", "zero", "text", "alpha", "pattern"],
)
def test_adapters_that_are_no_plain_lora_are_refused(
    float_model: FloatModel, base: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    directory = write_peft(tmp_path / "x", peft_config(**changed), lora_tensors(float_model.sizes))
    with pytest.raises(PeftAdapterError, match=said):
        convert_adapter(directory, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tensors_that_do_not_fit_are_refused(float_model: FloatModel, base: Path, tmp_path: Path) -> None:
    good = lora_tensors(float_model.sizes, modules=("q_proj",))
    first = next(iter(good))
    wide = lora_tensors(float_model.sizes, rank=RANK + 1, modules=("q_proj",))
    cases: list[tuple[dict[str, Any], int, type[Exception], str]] = [
        (good | {"base_model.model.lm_head.lora_A.weight": good[first]}, 4, PeftAdapterError, "lm_head"),
        (good | {first: np.zeros((4, 60), np.float32)}, 4, AdapterUnfitError, "q_proj is"),
        (good | {first: np.full_like(good[first], np.inf)}, 4, PeftAdapterError, "not finite"),
        (good | {b: np.full_like(good[b], 3e38) for b in good if "lora_B" in b}, 4, PeftAdapterError, "beyond float32"),
        ({first: good[first]}, 4, PeftAdapterError, "no two matrices"),
        (wide, RANK + 1, AdapterUnfitError, "q_proj is"),
        ({name.replace("layers.1", "layers.7"): one for name, one in good.items()}, 4, AdapterUnfitError, "7.q_proj"),
        ({name.replace("q_proj", "x_proj"): one for name, one in good.items()}, 4, AdapterUnfitError, "x_proj"),
        ({}, 4, PeftAdapterError, "no matrices"),
    ]
    for number, (tensors, rank, kind, said) in enumerate(cases):
        with pytest.raises(kind, match=said):
            convert_adapter(write_peft(tmp_path / str(number), peft_config(rank), tensors), base, tmp_path)
    with pytest.raises(AdapterUnfitError, match="no inputs for adapters"):
        folder = assemble(
            "bare", float_model.graph, float_model.directory / "config.json", float_model.tokenizer_file, tmp_path
        )
        write_model_manifest(folder, "edge", "test")
        convert_adapter(write_peft(tmp_path / "good", peft_config(), good), folder, tmp_path)


def test_damaged_directories_are_refused(float_model: FloatModel, base: Path, tmp_path: Path) -> None:
    directory = write_peft(tmp_path / "x", peft_config(), lora_tensors(float_model.sizes))
    weights = directory / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(CheckpointFileError):
        convert_adapter(directory, base, tmp_path)
    weights.write_bytes(whole)
    for text in ("", "[]", "{", "[" * 100_000, json.dumps(peft_config() | {"r": 1e999})):
        (directory / "adapter_config.json").write_text(text)
        with pytest.raises(PeftAdapterError):
            convert_adapter(directory, base, tmp_path)


def test_the_command_writes_a_file_and_tells(
    float_model: FloatModel, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_peft(tmp_path / "poet", peft_config(), lora_tensors(float_model.sizes))
    asked = ["model", "adapter", str(directory), "--base", str(base), "--out", str(tmp_path / "p.adapter"), "--json"]
    assert run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"] == read_adapter(tmp_path / "p.adapter").digest and told["base_name"] == "small"
    assert run([*asked[:-1]]) == 0
    assert "up to rank 4" in capsys.readouterr().out
    (directory / "adapter_config.json").unlink()
    assert run(asked) == 1
    assert "save_pretrained" in capsys.readouterr().err


def test_requests_that_cannot_be_are_refused_before_the_work(float_model: FloatModel) -> None:
    for rank, modules in ((-1, ()), (2000, ()), (0, ("q_proj",)), (8, ("q",))):
        with pytest.raises(CombinationRefusedError):
            ExportOptions(adapter_rank=rank, adapter_modules=modules).check()
    graph = load_graph(float_model.graph)
    for node in graph.graph.node:
        node.name = node.name.replace("o_proj", "out")
    with pytest.raises(GraphUnfitError, match="no matrix for o_proj"):
        add_adapter_inputs(graph, 8)
