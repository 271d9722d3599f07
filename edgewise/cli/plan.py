"""`edgewise plan`: the planners of the forge in the terminal, from a model's config.json or from numbers.

The arithmetic is in cloud_worker/forge/plan and needs no more than the base install; tables are in plan_tables.py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli import plan_tables
from edgewise.cli.connection import AsJson
from edgewise.cli.tables import print_json
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    from cloud_worker.forge.plan.kv import KvShape
    from cloud_worker.forge.plan.weights import Part

app = typer.Typer(name="plan", help="Plan memory, bits and latency before any work.", no_args_is_help=True)
Model = Annotated[Path | None, typer.Option("--model", help="A Hugging Face directory; its config.json is read.")]
Layers = Annotated[int | None, typer.Option(help="Number of layers.")]
KvHeads = Annotated[int | None, typer.Option(help="Key-value heads; 32 heads in 8 groups have 8.")]
HeadDim = Annotated[int | None, typer.Option(help="Width of a head.")]
Parameters = Annotated[float | None, typer.Option(help="Weights in all, 1.5e9 for instance.")]
Precision = Annotated[str, typer.Option(help="int2, int4, int8, float16 or float32.")]
MB, GIB = 1_000_000, 2**30


@app.command("kv")
def plan_kv(
    model: Model = None,
    layers: Layers = None,
    kv_heads: KvHeads = None,
    head_dim: HeadDim = None,
    tokens: Annotated[int, typer.Option(help="Tokens of one sequence.")] = 2048,
    sequences: Annotated[int, typer.Option(help="Sequences at the same time.")] = 1,
    budget_gib: Annotated[float | None, typer.Option(help="How much fits this memory, in GiB.")] = None,
    as_json: AsJson = False,
) -> None:
    """Memory of the key-value cache for every kind of element."""
    from cloud_worker.forge.plan import kv
    from cloud_worker.forge.plan.inputs import positive

    budget = None if budget_gib is None else int(positive(budget_gib, "--budget-gib") * GIB)
    found = kv.plan_kv(_kv_shape(model, layers, kv_heads, head_dim), tokens, sequences, budget)
    _show(found, as_json, plan_tables.show_kv)


@app.command("quant")
def plan_quant(
    low: Annotated[float, typer.Option(help="Lowest value of the range.")],
    high: Annotated[float, typer.Option(help="Highest value of the range.")],
    value: Annotated[list[float] | None, typer.Option(help="A value to put on the grid; may be repeated.")] = None,
    bits: Annotated[int, typer.Option(help="Bits of a level.")] = 8,
    as_json: AsJson = False,
) -> None:
    """What uniform quantization of a range does to values, symmetric and asymmetric."""
    from cloud_worker.forge.plan import quant

    found = quant.plan_quant(low, high, bits, value or [])
    _show(found, as_json, plan_tables.show_quant)


@app.command("mixed")
def plan_mixed(
    budget_mb: Annotated[float, typer.Option(help="Memory for the weights, in MB of 10⁶ bytes.")],
    model: Model = None,
    parameters: Parameters = None,
    layers: Layers = None,
    embedding: Annotated[float, typer.Option(help="Weights of the embedding, of those in all.")] = 0,
    head: Annotated[float, typer.Option(help="Weights of a separate head, of those in all.")] = 0,
    sensitivity: Annotated[Path | None, typer.Option(help="JSON: part → damage at int4, or a ranking.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bits for every part under a memory budget: by thirds, or exactly where a sensitivity is given."""
    from cloud_worker.forge.plan import mixed
    from cloud_worker.forge.plan.inputs import positive

    parts = _parts(model, parameters, layers, embedding, head)
    budget = int(positive(budget_mb, "--budget-mb") * MB)
    if sensitivity is None:
        found = mixed.by_thirds(parts, budget)
    else:
        found = mixed.by_sensitivity(parts, budget, mixed.read_damage(read_json(sensitivity), parts))
    _show(found, as_json, plan_tables.show_mixed)


@app.command("latency")
def plan_latency(
    target: Annotated[float, typer.Option(help="Where to come to, in ms.")] = 200.0,
    network: Annotated[float | None, typer.Option(help="ms at this point.")] = None,
    queue: Annotated[float | None, typer.Option(help="ms at this point.")] = None,
    tokenization: Annotated[float | None, typer.Option(help="ms at this point.")] = None,
    model: Annotated[float | None, typer.Option(help="ms at this point.")] = None,
    postprocessing: Annotated[float | None, typer.Option(help="ms at this point.")] = None,
    points: Annotated[Path | None, typer.Option(help="What `status --latency --json` printed; its p50.")] = None,
    measures: Annotated[Path | None, typer.Option(help="JSON: [{name, point, gain, effort}, …].")] = None,
    as_json: AsJson = False,
) -> None:
    """Which measures bring an answer under a target, over the five latency points."""
    from cloud_worker.forge.plan import latency

    given = {
        "network": network, "queue": queue, "tokenization": tokenization, "model": model,
        "postprocessing": postprocessing,
    }  # fmt: skip
    named = {name: ms for name, ms in given.items() if ms is not None}
    known = (latency.read_points(read_json(points)) if points else {}) | named
    table = latency.read_measures(read_json(measures)) if measures else latency.EXAMPLE_MEASURES
    found = latency.plan_latency(known or latency.EXAMPLE_MS, target, table)
    _show(found, as_json, plan_tables.show_latency)


@app.command("phone")
def plan_phone(
    model: Model = None,
    parameters: Parameters = None,
    precision: Precision = "int4",
    ends: Annotated[str | None, typer.Option(help="Precision of embedding and head, where they differ.")] = None,
    kv_element: Annotated[str, typer.Option(help="float16, int8, …: the cache's kind of element.")] = "float16",
    device_mb: Annotated[float, typer.Option(help="Memory of the device.")] = 4000.0,
    peak_mb: Annotated[float, typer.Option(help="The whole device must stay under this.")] = 3800.0,
    system_mb: Annotated[float, typer.Option(help="The system and other apps; an assumption.")] = 1500.0,
    runtime_mb: Annotated[float, typer.Option(help="The runtime's code and buffers; an assumption.")] = 100.0,
    kv_mb: Annotated[float, typer.Option(help="Room for the key-value cache.")] = 256.0,
    activations_mb: Annotated[float, typer.Option(help="Room for activations.")] = 128.0,
    as_json: AsJson = False,
) -> None:
    """Whether a model fits a small device; all memory in MB of 10⁶ bytes."""
    from cloud_worker.forge.plan import phone

    weights = _weights(model, parameters, precision, ends, kv_element)
    profile = phone.Phone(
        device_mb=device_mb, peak_mb=peak_mb, system_mb=system_mb, runtime_mb=runtime_mb, kv_mb=kv_mb,
        activations_mb=activations_mb,
    )  # fmt: skip
    _show(phone.plan_phone(weights, profile), as_json, plan_tables.show_phone)


def _kv_shape(model: Path | None, layers: int | None, kv_heads: int | None, head_dim: int | None) -> KvShape:
    from cloud_worker.architectures import model_sizes
    from cloud_worker.forge.plan.kv import KvShape

    if model is not None:
        return KvShape.of(model_sizes(model))
    if layers is None or kv_heads is None or head_dim is None:
        raise _too_little("--model DIR, or all of --layers, --kv-heads and --head-dim")
    return KvShape(layers=layers, kv_heads=kv_heads, head_dim=head_dim)


def _parts(
    model: Path | None, parameters: float | None, layers: int | None, embedding: float, head: float
) -> tuple[Part, ...]:
    from cloud_worker.architectures import model_sizes
    from cloud_worker.forge.plan.inputs import not_negative
    from cloud_worker.forge.plan.weights import even_parts, parts_of

    if model is not None:
        return parts_of(model_sizes(model))
    if parameters is None or layers is None:
        raise _too_little("--model DIR, or --parameters and --layers")
    ends = (int(not_negative(value, name)) for value, name in ((embedding, "--embedding"), (head, "--head")))
    return even_parts(_count(parameters), layers, *ends)


def _weights(model: Path | None, parameters: float | None, precision: str, ends: str | None, kv_element: str) -> Any:
    from cloud_worker.architectures import model_sizes
    from cloud_worker.forge.plan.phone import Weights

    if model is not None:
        return Weights.of(model_sizes(model), precision, ends or precision, kv_element)
    if parameters is None:
        raise _too_little("--model DIR, or --parameters")
    if ends is not None:
        raise _too_little("--model DIR where --ends is given: it says how large embedding and head are")
    return Weights(parameters=_count(parameters), precision=precision, kv_element=kv_element)


def _count(parameters: float) -> int:
    from cloud_worker.forge.plan.inputs import positive

    return int(positive(parameters, "--parameters"))


def _too_little(expected: str) -> BadRequestError:
    from cloud_worker.forge.plan.inputs import refuse

    return refuse("There is too little to plan with", "the command line", expected)


def read_json(path: Path) -> Any:
    """A JSON file that somebody wrote. Raises PlanInputError."""
    from cloud_worker.forge.plan.inputs import refuse

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refuse(f"The file cannot be read: {error}", str(path), "a JSON file") from error


def _show(found: Any, as_json: bool, draw: Any) -> None:
    if as_json:
        many = isinstance(found, tuple)
        print_json([dataclasses.asdict(each) for each in found] if many else dataclasses.asdict(found))
    else:
        draw(found)
