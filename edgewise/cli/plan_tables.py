"""The tables of `edgewise plan`: what each plan says, for people. No arithmetic beyond units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from edgewise.cli.tables import print_table

if TYPE_CHECKING:
    from cloud_worker.forge.plan.kv import KvPlan
    from cloud_worker.forge.plan.latency import LatencyPlan
    from cloud_worker.forge.plan.mixed import Choice, MixedPlan
    from cloud_worker.forge.plan.phone import PhonePlan
    from cloud_worker.forge.plan.quant import QuantPlan

GIB = 2**30


def show_kv(plan: KvPlan) -> None:
    """One row for each kind of element."""
    shape = plan.shape
    whole = f"{plan.sequences} × {plan.tokens:,} tokens" if plan.sequences > 1 else f"{plan.tokens:,} tokens"
    title = f"{shape.layers} layers × {shape.kv_heads} heads × {shape.head_dim}, {whole}"
    head = ["element", "bytes per token", "GiB"]
    rows = [[row.element, f"{row.bytes_per_token:,}", f"{row.bytes / GIB:.6g}"] for row in plan.rows]
    if plan.budget_bytes is not None:
        head += ["tokens in the budget", "such sequences"]
        for row, cells in zip(plan.rows, rows, strict=True):
            cells += [f"{row.tokens_in_budget:,}", f"{row.sequences_in_budget:,}"]
    print_table(head, rows, title)


def show_quant(plans: Sequence[QuantPlan]) -> None:
    """Both grids, then every value on both."""
    first = plans[0]
    grids = [
        (plan.grid.scheme, f"{plan.grid.scale:.4f}", str(plan.grid.zero_point),
         f"{plan.grid.lowest} to {plan.grid.highest}", f"{plan.largest_error:.4f}", f"{plan.rms_error:.4f}")
        for plan in plans
    ]  # fmt: skip
    title = f"[{first.low:g}, {first.high:g}] in {first.grid.bits} bits"
    print_table(("scheme", "S", "Z", "levels", "largest error", "rms error"), grids, title)
    values = [
        (plan.grid.scheme, f"{value.value:g}", str(value.level), f"{value.restored:.4f}",
         f"{value.error:.4f}" + (", clipped" if value.clipped else ""))
        for plan in plans for value in plan.values
    ]  # fmt: skip
    if values:
        print_table(("scheme", "value", "level", "restored", "error"), values)


def show_mixed(plan: MixedPlan) -> None:
    """Runs of parts that are alike, and whether all of it fits."""
    rows = [_run_row(run) for run in _runs(plan.choices)]
    print_table(("parts", "precision", "weights", "MB"), rows, f"by {plan.method}")
    typer.echo(f"{plan.bytes / 1e6:,.1f} MB of {plan.budget_bytes / 1e6:,.1f} MB: {_fits(plan.fits)}")
    if plan.damage is not None:
        typer.echo(f"damage {plan.damage:.6g}" + (", the least there is for this budget" if plan.fits else ""))
    if not plan.fits:
        typer.echo(f"all parts in int4 would be {plan.smallest_bytes / 1e6:,.1f} MB")


def _runs(choices: Sequence[Choice]) -> list[list[Choice]]:
    """Neighbours with the same precision and of the same kind (layers, or not)."""
    runs: list[list[Choice]] = []
    for choice in choices:
        last = runs[-1][-1] if runs else None
        if last is not None and last.precision == choice.precision and last.part[:6] == choice.part[:6] == "layer.":
            runs[-1].append(choice)
        else:
            runs.append([choice])
    return runs


def _run_row(run: Sequence[Choice]) -> tuple[str, str, str, str]:
    first, last = run[0], run[-1]
    name = first.part if first is last else f"{first.part} to {last.part.removeprefix('layer.')}"
    weights, size = sum(choice.parameters for choice in run), sum(choice.bytes for choice in run)
    return name, first.precision, f"{weights:,}", f"{size / 1e6:,.1f}"


def show_latency(plan: LatencyPlan) -> None:
    """The five points before and after, and what is to be done."""
    rows = [(row.point, f"{row.now_ms:.1f}", f"{row.then_ms:.1f}") for row in plan.points]
    print_table(("point", "ms now", "ms then"), [*rows, ("all", f"{plan.now_ms:.1f}", f"{plan.then_ms:.1f}")])
    todo = [(each.name, each.point, f"{each.gain:.0%}", f"{each.effort:g}") for each in plan.measures]
    print_table(("measure", "point", "takes away", "effort"), todo)
    if plan.reached:
        typer.echo(f"{plan.then_ms:.1f} ms reaches {plan.target_ms:g} ms, with an effort of {plan.effort:g}")
    else:
        missing = plan.then_ms - plan.target_ms
        typer.echo(f"{plan.target_ms:g} ms is out of reach: all of this leaves {missing:.1f} ms too many")


def show_phone(plan: PhonePlan) -> None:
    """The bill of memory, and what it leaves."""
    bill = [
        ("weights", plan.bits_mb), ("their scales", plan.scales_mb), ("key-value cache", plan.kv_mb),
        ("activations", plan.activations_mb), ("runtime", plan.runtime_mb), ("system and other apps", plan.system_mb),
        ("peak of the device", plan.peak_mb), ("limit", plan.limit_mb),
    ]  # fmt: skip
    print_table(("", "MB"), [(name, f"{mb:,.1f}") for name, mb in bill])
    typer.echo(f"{abs(plan.left_mb):,.1f} MB {'left' if plan.fits else 'too many'}: {_fits(plan.fits)}")
    if plan.kv_tokens is not None:
        typer.echo(f"the cache holds {plan.kv_tokens:,} tokens")
    typer.echo(plan.note)


def _fits(fits: bool) -> str:
    return "it fits" if fits else "it does not fit"
