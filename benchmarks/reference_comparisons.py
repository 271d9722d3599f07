"""Rows that compare two reference models: the gap by capacity, routing headroom, confidence, drafts, quantization."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from benchmarks.reference_items import LEAST
from benchmarks.reference_rows import Choice, chosen, kept, percent, too_few
from benchmarks.report import Floor, Row, row
from cloud_worker.forge.curriculum import Language
from cloud_worker.forge.evaluate import Mark, perplexity
from cloud_worker.forge.evaluate.acceptance import DRAFTED, Accepted, rate, tokens_per_pass
from cloud_worker.forge.evaluate.headroom import at_threshold, cascade, headroom, largest_share
from cloud_worker.forge.evaluate.statistics import auroc, mcnemar, paired_bootstrap

BOOTSTRAP_SEED: Final = 5
HARD: Final = (3, 4)
ORACLE: Final = "oracle condition: points above the cloud / 5, or edge share at cloud accuracy / 70, the larger"


def least_sure(mark: Mark) -> float:
    """The log-probability of the least sure token; where nothing was said nothing is sure."""
    return mark.min_logprob if mark.n_tokens else -math.inf


_SCORES: Final[dict[str, Callable[[Mark], float]]] = {
    "mean": lambda mark: mark.mean_logprob if mark.n_tokens else -math.inf,
    "minimum": least_sure,
}


def flags(marks: Sequence[Mark]) -> list[bool]:
    """Right or not, in order."""
    return [mark.right for mark in marks]


def pairs(edge: Sequence[Mark], cloud: Sequence[Mark], choice: Choice) -> tuple[list[Mark], list[Mark]]:
    """Both models' marks of the chosen exercises, in the same order."""
    return chosen(edge, choice), chosen(cloud, choice)


def gap(edge: Sequence[Mark], cloud: Sequence[Mark], least: int = LEAST) -> Iterator[Row]:
    """The cloud's lead on grades 3 and 4 (known phrasings) with its interval and McNemar's p, by language."""
    for language in Language:
        mine, its = pairs(edge, cloud, lambda e, to=language: e.language == to and e.grade in HARD and not e.held_out)  # type: ignore[misc]
        condition, count = f"grades 3-4, {language}", len(mine)
        lead, wanted, reason = percent(its) - percent(mine), Floor("ours", ">=", 15), too_few(count, least)
        yield row("cloud minus edge", condition, "points", "higher", lead, samples=count, floor=wanted, reason=reason)
        if mine:
            yield from _interval(condition, its, mine)


def _interval(condition: str, first: Sequence[Mark], second: Sequence[Mark]) -> Iterator[Row]:
    ends = paired_bootstrap(flags(first), flags(second), BOOTSTRAP_SEED)
    for name, end in zip(("low", "high"), ends, strict=True):
        label = f"cloud minus edge, {condition}, {name} end, paired bootstrap"
        yield row("interval", label, "points", "higher", 100 * end, samples=len(first))
    p = mcnemar(flags(first), flags(second))
    yield row("McNemar's p", f"cloud against edge, {condition}", "", "lower", p, samples=len(first))


def family_leads(edge: Sequence[Mark], cloud: Sequence[Mark], least: int = LEAST) -> Iterator[Row]:
    """The edge's lead in each family (known phrasings, all grades, both languages)."""
    for family in dict.fromkeys(mark.exercise.family for mark in edge):
        mine, its = pairs(edge, cloud, lambda e, name=family: e.family == name and not e.held_out)  # type: ignore[misc]
        lead, reason = percent(mine) - percent(its), too_few(len(mine), least)
        wanted = Floor("ours", "<=", 5)
        yield row("edge minus cloud", family, "points", "lower", lead, samples=len(mine), floor=wanted, reason=reason)


def routing(edge: Sequence[Mark], cloud: Sequence[Mark], words: str, floors: bool) -> Iterator[Row]:
    """Edge only, cloud only, a coin, the per-item oracle, and what the oracle leaves on the edge."""
    found, count = headroom(flags(edge), flags(cloud)), len(edge)
    for metric, value in (
        ("edge only", found.edge_only),
        ("cloud only", found.cloud_only),
        ("random 50/50", found.coin),
        ("per-item oracle", found.oracle),
        ("oracle: share on the edge at its full accuracy", found.oracle_share),
        ("oracle: largest edge share at cloud accuracy", found.share_at_cloud_accuracy),
        ("only the edge right", found.only_edge_right),
        ("only the cloud right", found.only_cloud_right),
    ):
        yield row(metric, f"{words} phrasings", "%", "higher", value, samples=count)
    best = max((found.oracle - found.cloud_only) / 5, found.share_at_cloud_accuracy / 70)
    wanted = Floor("ours", ">=", 1) if floors else None
    reason = too_few(count, LEAST) if floors else ""
    yield row(ORACLE, f"{words} phrasings", "", "higher", best, samples=count, floor=wanted, reason=reason)


def confidence(edge: Sequence[Mark], cloud: Sequence[Mark], words: str) -> Iterator[Row]:
    """AUROC of the edge's log-probability for "the edge is right" and, reversed, for "the cloud would fix it"."""
    right = flags(edge)
    fixed = [c.right and not e.right for e, c in zip(edge, cloud, strict=True)]
    for name, score in _SCORES.items():
        scores = [score(mark) for mark in edge]
        condition = f"{name} log-probability, {words} phrasings"
        yield row("AUROC: edge right", condition, "", "higher", auroc(scores, right), samples=len(edge))
        turned = [-value for value in scores]
        yield row("AUROC: cloud would fix it", condition, "", "higher", auroc(turned, fixed), samples=len(edge))


def cascades(
    edge: Sequence[Mark], cloud: Sequence[Mark], calibration: tuple[Sequence[Mark], Sequence[Mark]], words: str
) -> Iterator[Row]:
    """The curve on the test items, and the test's accuracy at the threshold that the calibration items chose."""
    scores = [least_sure(mark) for mark in edge]
    points, count = cascade(flags(edge), flags(cloud), scores), len(edge)
    for tenth in range(11):
        point = points[round(tenth * count / 10)]
        condition = f"{10 * tenth} % on the edge by minimum log-probability, {words} phrasings"
        yield row("cascade accuracy", condition, "%", "higher", point.accuracy, samples=count)
    mine, its = calibration
    if not mine or len(mine) != len(its):
        return
    curve = cascade(flags(mine), flags(its), [least_sure(mark) for mark in mine])
    picked = largest_share(curve, percent(its))
    found = at_threshold(flags(edge), flags(cloud), scores, picked.threshold)
    condition = f"threshold {picked.threshold:.3f} of {len(mine)} calibration items, {words} phrasings"
    yield row("cascade: share on the edge", condition, "%", "higher", found.share, samples=count)
    only = percent(cloud)
    name = "cascade: accuracy"
    yield row(name, condition, "%", "higher", found.accuracy, peer="cloud only", peer_value=only, samples=count)


def drafting(name: str, target: Sequence[Mark], views: Sequence[Accepted], words: str, floors: bool) -> Iterator[Row]:
    """Greedy acceptance of `name` by the cloud, by grade and in all, and tokens a pass of the cloud."""
    grades = sorted({mark.exercise.grade for mark in target})
    for grade in grades:
        mine = [view for view, mark in zip(views, target, strict=True) if mark.exercise.grade == grade]
        yield from _acceptance(f"{name} to cloud, grade {grade}, {words} phrasings", mine, None)
    wanted = Floor("ours", ">=", 0.8) if floors else None
    reason = too_few(len(views), LEAST) if floors else ""
    yield from _acceptance(f"{name} to cloud, all grades, {words} phrasings", views, wanted, reason)


def _acceptance(condition: str, views: Sequence[Accepted], floor: Floor | None, reason: str = "") -> Iterator[Row]:
    count = sum(len(view.hits) for view in views)
    yield row("draft acceptance", condition, "", "higher", rate(views), samples=count, floor=floor, reason=reason)
    a_pass = tokens_per_pass(views)
    yield row(f"tokens a pass of the cloud, {DRAFTED} drafted", condition, "", "higher", a_pass, samples=count)


def quantized(name: str, bits: int, marks: Sequence[Mark], before: Sequence[Mark]) -> Iterator[Row]:
    """Accuracy and perplexity after quantization beside the full-precision graph on the same items."""
    mine, its, count = percent(marks), percent(before), len(marks)
    wanted = Floor("ratio", ">=", 0.97) if bits == 4 else None
    metric, peer = f"int{bits} edge in ONNX Runtime", "full precision"
    yield kept(metric, f"{name}, exact match", mine, (peer, its), count, wanted)
    after, earlier = perplexity(marks), perplexity(before)
    condition = f"{name}, answer perplexity"
    yield row(metric, condition, "", "lower", after, peer=peer, peer_value=earlier, samples=count)
    same = 100 * sum(a.ids == b.ids for a, b in zip(marks, before, strict=True)) / count
    yield row(f"{metric}: same replies", name, "%", "higher", same, samples=count)
