"""Draws the plots of docs/theory.md from what the tests compute: `python -m benchmarks.plots`, a minute on one core.

The numbers go to docs/theory/numbers.json. `--draw` draws them anew and computes nothing.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from lit_gen.files.atomic import write_text

FOLDER = Path(__file__).parents[1] / "docs" / "theory"
WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 444, 38, 252  # of the frame
BLUE, ORANGE, GREY, BLACK = "#1f6fb2", "#d9730d", "#8a8f98", "#24292f"


class Axis(NamedTuple):
    """name, the values at both ends, and the text at some values in between."""

    name: str
    low: float
    high: float
    ticks: dict[float, str]

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


class Plot:
    """An SVG of lines, points and words, on axes."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        self.x, self.y = x, y
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
            f'height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            f'<rect x="{LEFT}" y="{TOP}" width="{RIGHT - LEFT}" height="{BOTTOM - TOP}" fill="none" stroke="{GREY}"/>',
        ]
        self._write(title, WIDTH / 2, 22, BLACK, "middle", 'font-weight="bold"')
        for value, text in x.ticks.items():
            self._write(text, self._at(value, y.low)[0], BOTTOM + 17, BLACK, "middle")
        for value, text in y.ticks.items():
            self._write(text, LEFT - 6, self._at(x.low, value)[1] + 4, BLACK, "end")
        self._write(x.name, (LEFT + RIGHT) / 2, HEIGHT - 10, BLACK, "middle")
        middle = (TOP + BOTTOM) / 2
        self._write(y.name, 16, middle, BLACK, "middle", f'transform="rotate(-90 16 {middle:g})"')

    def _at(self, x: float, y: float) -> tuple[float, float]:
        across, up = self.x.place(x), self.y.place(y)
        return round(LEFT + across * (RIGHT - LEFT), 1), round(BOTTOM - up * (BOTTOM - TOP), 1)

    def _write(self, text: str, x: float, y: float, colour: str, anchor: str, more: str = "") -> None:
        place = f'x="{x:g}" y="{y:g}" fill="{colour}" text-anchor="{anchor}"'
        self.parts.append(f"<text {place}{more and ' ' + more}>{escape(text)}</text>")

    def words(self, text: str, x: float, y: float, colour: str, anchor: str = "start") -> None:
        self._write(text, *self._at(x, y), colour, anchor)

    def line(self, points: list[tuple[float, float]], colour: str, dashed: bool = False) -> None:
        places = " ".join("{:g},{:g}".format(*self._at(*point)) for point in points)
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')

    def points(self, points: list[tuple[float, float]], colour: str, radius: float = 3.5) -> None:
        for point in points:
            x, y = self._at(*point)
            self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{colour}"/>')

    def text(self) -> str:
        return "\n".join([*self.parts, "</svg>"]) + "\n"


# What the tests compute


def bound_numbers() -> dict[str, Any]:
    """Of tests/losses/test_likelihood.py: log p(x) of a linear-Gaussian model, and the K-sample bounds."""
    from tests.losses.test_likelihood import COUNTS, mean_bounds, weighted_draws

    evidence, log_weights = weighted_draws()
    return {"evidence": evidence, "samples": list(COUNTS), "bounds": mean_bounds(log_weights)}


def discriminator_numbers() -> dict[str, Any]:
    """Of tests/theory/test_divergences.py: D* and a trained D for each of nine symbols."""
    from tests.theory.test_divergences import trained

    p, q, logits, _ = trained("overlapping")
    return {"best": (p / (p + q)).tolist(), "trained": logits.sigmoid().tolist()}


def game_numbers() -> dict[str, Any]:
    """Of tests/theory/test_adversarial_game.py: the value of the game while it is played, and G's samples at its end.

    `new` is the value for a D that learns from nothing against the G of that step, `own` the one for G's opponent.
    """
    import torch
    from lightning import Callback

    from tests.theory import test_adversarial_game as game

    steps, own, new = [], [], []

    class Watch(Callback):
        def note(self, model: Any, step: int) -> None:
            with torch.no_grad():
                value = game.value(model.discriminator, game.ring(20_000), model.generate(20_000))
            steps.append(step)
            own.append(value.item())
            new.append(game.value_for_a_new_critic(model))

        def on_train_start(self, trainer: Any, model: Any) -> None:
            self.note(model, 0)

        def on_train_batch_end(self, trainer: Any, model: Any, outputs: Any, batch: Any, index: int) -> None:
            if index + 1 in (25, 50, 100, 150, 200, 300, 400, 600, 800, 1000, 1250, 1500):
                self.note(model, index + 1)

    with tempfile.TemporaryDirectory() as folder:
        model, _ = game.play(folder, callbacks=[Watch()])
    fakes = model.generate(10_000, torch.Generator().manual_seed(0)).flatten(1)
    shares = game.found(fakes)[2].tolist()
    return {"steps": steps, "own": own, "new": new, "shares": shares, "fakes": fakes[:400].tolist()}


def rounded(value: Any) -> Any:
    """The numbers of nested lists and dicts, to four decimals."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


# Plots


def bound_plot(numbers: dict[str, Any]) -> Plot:
    evidence, bounds = numbers["evidence"], numbers["bounds"]
    places = [math.log2(count) for count in numbers["samples"]]
    gap = evidence - bounds[0]
    low, high = bounds[0] - 0.15 * gap, evidence + 0.2 * gap
    ticks = dict(zip(places, map(str, numbers["samples"]), strict=True))
    levels = {level: f"{level:.2f}" for level in (bounds[0], evidence - gap / 2, evidence)}
    plot = Plot(
        "The K-sample bound approaches the evidence",
        Axis("K, importance samples", -0.5, places[-1] + 0.5, ticks),
        Axis("nats per image", low, high, levels),
    )
    plot.line([(-0.5, evidence), (places[-1] + 0.5, evidence)], GREY, dashed=True)
    plot.words("log p(x)", -0.3, evidence + 0.05 * gap, BLACK)
    plot.line(list(zip(places, bounds, strict=True)), BLUE)
    plot.points(list(zip(places, bounds, strict=True)), BLUE)
    plot.words("K = 1 is the ELBO", 0.3, bounds[0] - 0.02 * gap, BLUE)
    return plot


def discriminator_plot(numbers: dict[str, Any]) -> Plot:
    ticks = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}
    plot = Plot(
        "A trained D says p / (p + q)",
        Axis("D*(x) = p(x) / (p(x) + q(x))", -0.05, 1.05, ticks),
        Axis("trained D(x)", -0.05, 1.05, ticks),
    )
    plot.line([(0, 0), (1, 1)], GREY, dashed=True)
    plot.points(list(zip(numbers["best"], numbers["trained"], strict=True)), BLUE)
    plot.words("D = D*", 0.78, 0.68, GREY)
    plot.words("one point for each of nine symbols", 0.02, 0.95, BLUE)
    return plot


def value_plot(numbers: dict[str, Any]) -> Plot:
    floor = -math.log(4)
    end = numbers["steps"][-1]
    plot = Plot(
        "The value of the game, with a new D and with G's own",
        Axis("steps of D and G", -0.03 * end, 1.03 * end, {each: str(each) for each in range(0, end + 1, 500)}),
        Axis("E[log D(x)] + E[log(1 - D(G(z)))]", -1.65, 0.1, {0.0: "0", -0.5: "-0.5", -1.0: "-1", floor: "-1.386"}),
    )
    plot.line([(-0.03 * end, floor), (1.03 * end, floor)], GREY, dashed=True)
    for name, colour in (("own", ORANGE), ("new", BLUE)):
        series = list(zip(numbers["steps"], numbers[name], strict=True))
        plot.line(series, colour)
        plot.points(series, colour, 3)
    plot.words("a new D, trained against this G", 0.36 * end, -0.55, BLUE)
    plot.words("G's own opponent", 0.36 * end, -1.56, ORANGE)
    return plot


def ring_plot(numbers: dict[str, Any]) -> Plot:
    shares = numbers["shares"]
    ticks = {-1.0: "-1", -0.5: "-0.5", 0.0: "0", 0.5: "0.5", 1.0: "1"}
    count = sum(share > 0.5 / 8 for share in shares)
    reach = 1.3 * (RIGHT - LEFT) / (BOTTOM - TOP)  # a unit is as long in both directions
    plot = Plot(
        f"G's samples: {count} of {len(shares)} modes found",
        Axis("x", -reach, reach, ticks),
        Axis("y", -1.3, 1.3, ticks),
    )
    plot.points([tuple(fake) for fake in numbers["fakes"]], BLUE, 1.3)
    turn = 2 * math.pi / len(shares)
    circle = [(0.3 * math.cos(math.pi * part / 24), 0.3 * math.sin(math.pi * part / 24)) for part in range(49)]
    for index, share in enumerate(shares):
        across, up = math.cos(index * turn), math.sin(index * turn)
        plot.line([(0.7 * across + x, 0.7 * up + y) for x, y in circle], GREY)  # three deviations around the centre
        plot.words(f"{share:.1%}", 1.27 * across, 1.13 * up - 0.04, BLACK, "middle")
    return plot


PLOTS = {
    "bound": bound_plot,
    "discriminator": discriminator_plot,
    "value": value_plot,
    "ring": ring_plot,
}


def draw(numbers: dict[str, Any]) -> dict[str, str]:
    """The SVG of each plot, by its name."""
    parts = numbers | {"value": numbers["game"], "ring": numbers["game"]}
    return {name: plot(parts[name]).text() for name, plot in PLOTS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the plots of docs/theory.md.")
    parser.add_argument("--draw", action="store_true", help="take the numbers of docs/theory/numbers.json")
    file = FOLDER / "numbers.json"
    if parser.parse_args().draw:
        numbers = json.loads(file.read_text(encoding="utf-8"))
    else:
        computed = {"bound": bound_numbers(), "discriminator": discriminator_numbers(), "game": game_numbers()}
        numbers = rounded(computed)
    files = {f"{name}.svg": text for name, text in draw(numbers).items()} | {"numbers.json": json.dumps(numbers) + "\n"}
    for name, text in files.items():
        write_text(FOLDER / name, text)
        print(f"written to {(FOLDER / name).relative_to(FOLDER.parents[1])}")


if __name__ == "__main__":
    main()
