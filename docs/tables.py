"""The tables of docs/soat.md, from the lines that the benchmarks wrote to docs/figures/*.jsonl."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parent / "figures"
Line = Mapping[str, Any]
#: Points of a transfer that are compared, in the order of the table.
ALIGNED = {
    "none": "as it is",
    "style": "its first four layers",
    "directions": "along yaw and pitch",
}


def lines(name: str, figure: str) -> list[Line]:
    """The lines of one figure of a benchmark; none if it has not been run."""
    path = FIGURES / f"{name}.jsonl"
    if not path.is_file():
        return []
    told = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line)
    return [line for line in told if line.get("benchmark") == f"{name}.{figure}"]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    if not rows:
        return "Not measured yet."
    body = [" | ".join(map(str, row)) for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {line} |" for line in body)


def pose() -> str:
    """How far heads are apart after each alignment."""
    found = lines("transfer", "pose")
    rows = [
        (
            ALIGNED[line["align"]],
            f"{line['yaw_apart_degrees']:.1f}°",
            f"{line['pitch_apart_degrees']:.1f}°",
            f"{line['others_moved']:.3f}",
        )
        for line in found
    ]
    told = table(("reference", "yaw apart", "pitch apart", "other attributes moved (0..1)"), rows)
    return f"{told}\n\n{found[0]['pairs']} pairs." if found else told


def transfer() -> str:
    """Errors outside at the same accuracy inside."""
    found = lines("transfer", "equal")
    blocks = []
    for part in dict.fromkeys(line["part"] for line in found):
        mine = [line for line in found if line["part"] == part]
        accuracy = max(line["accuracy"] for line in mine)
        rows = []
        for line in (line for line in mine if line["accuracy"] == accuracy):
            beside = ("does not get there", f"at most {line.get('most', 0):.0%}", "")
            if line["reached"]:
                squared = f"{line['outside_over_published']:.2f}"
                beside = (f"{line['outside']:.3f}", squared, f"{line['edge']:.2f}")
            rows.append((line["method"], ALIGNED[line["align"]], *beside))
        head = ("method", "reference", "error outside", "squared, over the published", "edge")
        pairs = next(
            (each["pairs"] for each in lines("transfer", "time") if each["part"] == part), "?"
        )
        blocks.append(
            f"**{part}**, {pairs} pairs, each brought {accuracy:.0%} of the way:\n\n"
            + table(head, rows)
        )
    return "\n\n".join(blocks) or table((), ())


def seams() -> str:
    """Seams and detail of three ways to make a strip."""
    kept = {line["form"]: line for line in lines("seams", "detail") if line["noise"] == "seeded"}
    found = [line for line in lines("seams", "seams") if line["noise"] == "seeded"]
    plain = {line["form"]: line for line in lines("seams", "seams") if line["noise"] == "none"}
    rows = [
        (
            line["form"],
            f"{line['ratio']:.3f}",
            f"{line['over_like']:.3f}",
            "{:.2f} to {:.2f}".format(*line["ratio_of_like"]),
            f"{plain[line['form']]['ratio']:.2f}" if plain else "",
            f"{plain[line['form']]['local']:.2f}" if plain else "",
            f"{line['step_deviations']:.2f}",
            f"{kept[line['form']]['kept']:.2f}",
        )
        for line in found
    ]
    head = (
        *("strip", "seam ratio", "over like columns", "ratio of like columns"),
        *("without noise", "over the columns around", "step in Lab, deviations"),
        "detail kept halfway",
    )
    told = table(head, rows)
    return f"{told}\n\n{found[0]['strips']} strips, {found[0]['joints']} joints." if found else told


def panorama() -> str:
    """Cost and memory."""
    costs = [
        (line["form"], line["image_equivalents_counted"], line["image_equivalents_timed"])
        for line in lines("panorama", "cost")
    ]
    memory = [
        (line["form"], line["codes"], line["peak_mb"], line["cpu_seconds"])
        for line in lines("panorama", "memory")
    ]
    told = [
        f"{line['width_px']:,} px from codes to PNG and BigTIFF: {line['seconds']:.0f} s "
        f"({line['cpu_seconds']:.0f} s of processor time), at most "
        f"{line['peak_mb_of_a_process']:,} MB in a process, files included."
        for line in lines("panorama", "long")
    ]
    costs_head = ("strip", "plain pictures per picture's width, counted", "timed")
    return "\n\n".join(
        (
            table(costs_head, costs),
            table(("strip", "codes", "peak MB", "processor seconds"), memory),
            *told,
        )
    )


def inversion() -> str:
    """Fidelity and edit quality under each prior."""
    found = lines("inversion", "priors")
    rows = [
        (
            line["prior"],
            line["weight"] or "",
            f"{line['psnr']:.2f}",
            f"{line['style_distance']:.2f}",
            f"{line['kept']:.0%}",
            f"{line['dependency']:.3f}",
        )
        for line in found
    ]
    for line in lines("inversion", "own")[:1]:
        beside = f"{line['style_distance']:.2f}", "100%", f"{line['dependency']:.3f}"
        rows.append(("own codes", "", "", *beside))
    head = ("prior", "weight", "PSNR dB", "distance of styles", "edit kept", "dependency")
    told = table(head, rows)
    return f"{told}\n\n{found[0]['renders']} renders, {found[0]['steps']} steps." if found else told


def gaussianity() -> str:
    """Which space is Gaussian."""
    rows = [
        (
            line["space"],
            line["channels"],
            f"{line['ks_mean']:.3f}",
            f"{line['ks_worst']:.3f}",
            f"{line['share_not_rejected_at_1_percent']:.1%}",
        )
        for line in lines("inversion", "gaussianity")
    ]
    return table(("space", "channels", "KS mean", "KS worst", "not rejected at 1%"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "pose": pose,
    "transfer": transfer,
    "seams": seams,
    "panorama": panorama,
    "inversion": inversion,
    "gaussianity": gaussianity,
}


def filled(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """A page with every table between its marks brought up to date."""
    for name, make in tables.items():
        begin, end = f"<!-- table {name} -->\n", f"<!-- end of table {name} -->\n"
        before, rest = text.split(begin)
        text = f"{before}{begin}{make()}\n{end}{rest.split(end)[1]}"
    return text
