"""PNG pictures of a ranking and of a table. Figures only; nothing is measured here."""

from __future__ import annotations

from pathlib import Path

from cloud_worker.forge.quantize.rows import MethodTable
from cloud_worker.forge.quantize.sensitivity import Ranking


def draw_ranking(ranking: Ranking, path: Path) -> Path:
    """Bars of KL by matrix, the most sensitive on top, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [row.name for row in ranking.rows]
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.22 * len(names)))
    axes.barh(names, [max(row.kl, 1e-9) for row in ranking.rows], color="#4878a8")
    axes.set_xscale("log")
    axes.invert_yaxis()
    rounded = "all others rounded" if ranking.all_but_one else "it alone rounded"
    axes.set_xlabel(
        f"KL to the float model, nats a token ({rounded} to {ranking.bits} bits, blocks of {ranking.block})"
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def draw_table(table: MethodTable, path: Path) -> Path:
    """Every method as a dot: size across, KL to the float model up, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6))
    for row in table.rows:
        if row.bytes and row.kl is not None:
            axes.scatter(row.bytes / 1e6, max(row.kl, 1e-7), color="#4878a8" if row.bits > 4 else "#c05030")
            axes.annotate(row.method, (row.bytes / 1e6, max(row.kl, 1e-7)), fontsize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("MB")
    axes.set_ylabel("KL to the float model, nats a token")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path
