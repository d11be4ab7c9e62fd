"""The figures of the model card as Markdown: how networks were fitted, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, Any]
NOT_MEASURED = "Not measured yet: run `python benchmarks/models.py`."


def fitted(facts: Facts) -> str:
    """What each network that ships was trained on, from its `model.json`."""
    told_of = {
        "generator": ("generator", "held_out_psnr_db", "{} dB PSNR against the renders"),
        "discriminator": ("generator again, adversarially", "", ""),
        "features": ("feature network", "held_out_r2", "mean R² of the attributes {}"),
        "encoder": ("encoder", "held_out_psnr_db", "{} dB PSNR of renders, given their noise"),
    }
    rows = []
    for key, (name, figure, words) in told_of.items():
        if key in facts:
            made = facts[key]
            value = made.get(figure, "")
            told = f"{_mean(value):.2f}" if isinstance(value, Mapping) else value
            amount = f"{made['pictures']:,} pictures in {made['steps']:,} steps"
            rows.append((name, amount, made["minutes"], made["seed"], words.format(told)))
    return table(("network", "trained on", "minutes", "seed", "held out"), rows)


def quality(figures: Mapping[str, Facts]) -> str:
    """What benchmarks/models.py measured of one model; sections that are missing are left out."""
    if not figures:
        return NOT_MEASURED
    rows = [
        row for name, tell in _SUMMARIES.items() if name in figures for row in tell(figures[name])
    ]
    blocks = [table(("what", "measured", "aim"), rows)]
    if factors := _factors(figures):
        blocks += ["By factor:", factors]
    for kind, words in (("directions", "direction"), ("channels", "direction of style channels")):
        if kind in figures:
            blocks += [
                f"By {words}, from -2 to 2 standard deviations:",
                _directions(figures[kind]),
            ]
    if "noise" in figures:
        blocks += ["Spread over noise by part, in levels of 0..255:", _parts(figures["noise"])]
    machines = sorted({_machine(section["machine"]) for section in figures.values()})
    return "\n\n".join([*blocks, f"Measured on {'; '.join(machines)}."])


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


Row = tuple[str, str, str]


def _reading(it: Facts) -> list[Row]:
    what = f"feature network on {it['renders']:,} held-out renders"
    rows = [(f"R², {what}", f"mean {it['r2_mean']:.3f}, least {it['r2_least']:.3f}", ">= 0.95")]
    if it["binary"]:
        names = ", ".join(it["binary"])
        rows.append((f"AUC of {names}, the same", f"{it['binary_auc_least']:.4f}", ">= 0.99"))
    return rows


def _samples(it: Facts) -> list[Row]:
    known = it["ks_known"].values()
    pictures = f"{it['pictures']:,} generated pictures"
    rows = [
        (
            f"KS distance of attributes, {pictures} to the scene's distribution",
            f"worst {max(known):.3f}, mean {sum(known) / len(known):.3f}",
            "<= 0.10",
        ),
        (
            f"KS distance of attributes, {pictures} and renders",
            f"worst {it['ks_worst']:.3f}, mean {it['ks_mean']:.3f}",
            "",
        ),
    ]
    for space, words in (("summary", "last vector"), ("means", "mean features of all stages")):
        found = it[f"frechet_{space}"]
        told = f"{found['generated']:.4f} / {found['floor']:.4f} = {found['ratio']:.1f}"
        aim = "<= 3" if space == "summary" else ""
        rows.append((f"Frechet distance ({words}) over that of renders", told, aim))
    told = f"{it['strangers']:.3f} / {it['strangers_renders']:.3f} = {it['variety']:.3f}"
    return [*rows, ("distance of strangers over that of renders", told, ">= 0.85")]


def _moves(it: Facts, what: str = "directions") -> list[Row]:
    return [
        (
            f"{what} that move their attribute monotonically, mean of {it['codes']} codes",
            f"{it['monotone']} of {it['directions']}",
            "all",
        ),
        (
            f"{what}: attribute moved from -2 to 2, in its deviations",
            f"least {it['moved_least']:.2f}, mean {it['moved_mean']:.2f}",
            ">= 1.5",
        ),
        (
            f"{what}: attribute dependency at -2 and 2",
            f"mean {it['dependency_mean']:.3f}, worst {it['dependency_worst']:.3f}",
            "<= 0.35",
        ),
    ]


def _channels(it: Facts) -> list[Row]:
    return _moves(it, "directions of style channels")


def _inverted(it: Facts) -> list[Row]:
    rows = []
    for kind, words, aims in (
        ("renders", "held-out renders", (">= 20 dB", ">= 27 dB")),
        ("generated", "generated pictures", ("", ">= 32 dB")),
    ):
        found = it[kind]
        read = f"{found['encoder_db']:.1f} dB in {1000 * found['encoder_s']:.0f} ms"
        near = f"{found['hybrid_db']:.1f} dB in {found['hybrid_s']:.1f} s"
        rows.append((f"{words} inverted by the encoder", read, aims[0]))
        rows.append((f"{words} inverted by {it['steps']} steps from there", near, aims[1]))
        if kind == "renders" and (laid := it.get("layout")):
            told = f"{laid['tuned_db']:.1f} dB in {laid['tuned_s']:.1f} s"
            what = f"the first {laid['pictures']} of them, then {it['steps']} steps on noise maps"
            rows.append((what, told, ""))
    return rows


def _noise(it: Facts) -> list[Row]:
    inside = f"{it['in_textures']:.2f} (renders {it['in_textures_renders']:.2f})"
    on = f"{it['on_outlines']:.2f} (renders {it['on_outlines_renders']:.2f})"
    return [
        ("spread over noise in textures, levels of 255", inside, "> 0"),
        ("spread over noise on outlines", on, "about 0"),
    ]


def _path(it: Facts) -> list[Row]:
    what = f"perceptual path length (W, end), {it['paths']:,} paths, own features"
    return [(what, f"{it['ppl_w_end']:.2f}", "")]


def _separable(it: Facts) -> list[Row]:
    return [
        (
            f"linear separability in W of {len(it['entropies'])} attributes",
            f"{it['score_w']:.2f}",
            "",
        )
    ]


def _speed(it: Facts) -> list[Row]:
    rows = [("renders per second", f"{it['renders_per_s']:.0f}", ">= 200")]
    drawn = f"{it['pictures_per_s']:.0f}, in bfloat16 {it['pictures_per_s_bfloat16']:.0f}"
    return [*rows, ("generated pictures per second", drawn, "")]


_SUMMARIES = {
    "samples": _samples,
    "reading": _reading,
    "directions": _moves,
    "channels": _channels,
    "inversion": _inverted,
    "noise": _noise,
    "path_length": _path,
    "separability": _separable,
    "speed": _speed,
}


def _factors(figures: Mapping[str, Facts]) -> str:
    """One line per factor: how well it is read, and how its readings are spread."""
    columns: dict[str, Mapping[str, float]] = {}
    if "reading" in figures:
        columns |= {"R²": figures["reading"]["r2"], "AUC": figures["reading"]["auc"]}
    if "samples" in figures:
        columns["KS to renders"] = figures["samples"]["ks"]
        columns["KS to the scene's distribution"] = figures["samples"]["ks_known"]
    if "reading" in figures:
        columns["the same, renders"] = figures["reading"]["ks_known"]
    if not columns:
        return ""
    names = next(iter(columns.values()))
    rows = [(name, *(f"{column[name]:.3f}" for column in columns.values())) for name in names]
    return table(("factor", *columns), rows)


def _directions(it: Facts) -> str:
    rows = [
        (
            f"`{name}`",
            f"{one['moved']:.2f}",
            "yes" if one["monotone"] else "no",
            f"{one['monotone_share']:.0%}",
            f"{one['dependency']:.3f}",
            ", ".join(one["leaks_most"]),
        )
        for name, one in it["each"].items()
    ]
    head = ("direction", "moved", "monotone", "each code", "dependency", "moves most beside it")
    return table(head, rows)


def _parts(it: Facts) -> str:
    rows = [
        (part, f"{spread['generated']:.2f}", f"{spread['renders']:.2f}")
        for part, spread in it["parts"].items()
    ]
    return table(("inside", "generated", "renders"), rows)


def _machine(it: Facts) -> str:
    return f"{it['threads']} threads of {it['cpu']}, torch {it['torch']}"


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
