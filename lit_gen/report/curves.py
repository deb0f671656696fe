"""Curves of a log as inline SVG."""

import math
from collections.abc import Sequence
from html import escape

Points = Sequence[tuple[float, float]]

MOST = 400
"""Points of a curve: more cannot be told apart in its width."""
WIDTH, HEIGHT, EDGE = 320, 130, 6  # in the units of the drawing
MISSING = "\N{EM DASH}"


def thinned(points: Points) -> Points:
    """Return at most `MOST` of the points: the lowest and the highest of equal pieces, so that no spike is lost."""
    if len(points) <= MOST:
        return points
    pieces = max(1, MOST // 2 - 1)
    kept = {0, len(points) - 1}
    for piece in range(pieces):
        places = range(piece * len(points) // pieces, (piece + 1) * len(points) // pieces)
        kept |= {find(places, key=lambda place: points[place][1]) for find in (min, max)}
    return [points[place] for place in sorted(kept)]


def curve(name: str, points: Points) -> str:
    """Return a figure with the curve of a logged value, its range and its last value.

    Values that are not finite are left out of the points (step, value), and counted.
    """
    finite = [point for point in points if math.isfinite(point[1])]
    left_out = len(points) - len(finite)
    last = f"{finite[-1][1]:.5g}" if finite else MISSING
    note = f" ({left_out} not finite)" if left_out else ""
    caption = f"<figcaption>{escape(name)} <b>{last}</b>{note}</figcaption>"
    if not finite:
        return f'<figure class="curve">{caption}</figure>'
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    first, end = finite[0][0], finite[-1][0]
    places = " ".join(
        f"{EDGE + _part(step, first, end) * (WIDTH - 2 * EDGE):.2f},"
        f"{HEIGHT - EDGE - _part(value, low, high) * (HEIGHT - 2 * EDGE):.2f}"
        for step, value in thinned(finite)
    )
    line = f'<polyline points="{places}"/>'
    if len(finite) == 1:
        x, y = places.split(",")
        line += f'<circle cx="{x}" cy="{y}" r="2.5"/>'
    return (
        f'<figure class="curve">{caption}<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}" '
        f'data-range="{first:.17g} {end:.17g} {low:.17g} {high:.17g}">{line}</svg>'
        f"<div><span>step {first:,.0f}</span><output>{low:.4g} to {high:.4g}</output><span>{end:,.0f}</span></div>"
        "</figure>"
    )


def _part(value: float, low: float, high: float) -> float:
    """Return how far a value is on the way from the lowest to the highest; the middle where they are the same."""
    width = high - low
    if not 0 < width < math.inf:
        return 0.5
    return (value - low) / width
