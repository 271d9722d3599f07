"""What routing between an edge and a cloud model can gain: oracle, shares at cloud accuracy, the cascade's curve.

Every function takes paired items: was the edge right, was the cloud right, and how sure the edge was of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Headroom:
    """Percent right of each way to route, and percent of the items that it leaves on the edge."""

    edge_only: float
    cloud_only: float
    coin: float
    oracle: float
    oracle_share: float
    share_at_cloud_accuracy: float
    only_edge_right: float
    only_cloud_right: float


def headroom(edge: Sequence[bool], cloud: Sequence[bool]) -> Headroom:
    """The bounds. `coin` is the expectation of a fair coin; the oracle knows for each item who would be right.

    oracle_share: edge items of the cheapest oracle at its full accuracy. share_at_cloud_accuracy: the most that can
    stay on the edge while as many are right as with the cloud alone. Raises ValueError without items.
    """
    if not edge:
        raise ValueError("headroom: no items; expected at least one judged by both models")
    total = len(edge)
    gains = sum(e and not c for e, c in zip(edge, cloud, strict=True))
    losses = sum(c and not e for e, c in zip(edge, cloud, strict=True))
    percents = [100 * sum(edge) / total, 100 * sum(cloud) / total]
    return Headroom(
        edge_only=percents[0],
        cloud_only=percents[1],
        coin=sum(percents) / 2,
        oracle=percents[1] + 100 * gains / total,
        oracle_share=100 * (total - losses) / total,
        share_at_cloud_accuracy=100 * (total - losses + min(gains, losses)) / total,
        only_edge_right=100 * gains / total,
        only_cloud_right=100 * losses / total,
    )


@dataclass(frozen=True, slots=True)
class Point:
    """The cascade that keeps the surest `share` percent on the edge: percent right, and the least kept score."""

    share: float
    accuracy: float
    threshold: float


def cascade(edge: Sequence[bool], cloud: Sequence[bool], scores: Sequence[float]) -> list[Point]:
    """A point for every number of kept items, from none to all; among equal scores the earlier item is kept first."""
    total = len(edge)
    order = sorted(range(total), key=lambda index: -scores[index])
    right = sum(cloud)
    points = [Point(0.0, 100 * right / total, float("inf"))]
    for kept, index in enumerate(order, 1):
        right += edge[index] - cloud[index]
        points.append(Point(100 * kept / total, 100 * right / total, scores[index]))
    return points


def largest_share(points: Sequence[Point], accuracy: float) -> Point:
    """The point that keeps most on the edge and is at least so accurate; keeping none when there is no such point.

    Points amid equal scores do not count: no threshold keeps some of those items and not the others.
    """
    ends = (one for one, after in pairwise(points) if one.threshold != after.threshold)
    real = (point for point in (*ends, points[-1]) if point.accuracy >= accuracy)
    return max(real, key=lambda p: p.share, default=points[0])


def at_threshold(edge: Sequence[bool], cloud: Sequence[bool], scores: Sequence[float], threshold: float) -> Point:
    """What a threshold chosen elsewhere gives on these items: edge answers with a score at or above it are kept."""
    kept = [score >= threshold for score in scores]
    right = sum(e if keep else c for keep, e, c in zip(kept, edge, cloud, strict=True))
    return Point(100 * sum(kept) / len(edge), 100 * right / len(edge), threshold)
