"""The tables of docs/codes.md, from the lines that the benchmarks wrote to docs/figures/*.jsonl."""

from collections.abc import Callable, Mapping

from tables import lines, table


def costs() -> str:
    """What learning a direction and following it cost."""
    rows = [
        (
            f"{line['codes']:,} codes drawn and scored, a direction learned",
            f"{line['seconds_scored'] + line['seconds_fitted']:.0f} s, {line['threads']} threads",
        )
        for line in lines("codes", "learn")
    ]
    rows += [
        (
            f"{line['codes']:,} codes moved with a condition",
            f"{line['per_second']:,} codes a second",
        )
        for line in lines("directions", "edits")
    ]
    return table(("", "cost"), rows)


def cosines() -> str:
    """How near learned directions come to the true ones."""
    found = lines("directions", "cosine")
    counts = sorted({line["labels"] for line in found})
    by_method: dict[str, dict[int, float]] = {}
    for line in found:
        by_method.setdefault(line["method"], {})[line["labels"]] = line["mean"]
    rows = [
        (method, *(f"{means[count]:.3f}" if count in means else "" for count in counts))
        for method, means in by_method.items()
    ]
    return table(("method", *(f"{count:,} labels" for count in counts)), rows)


def conditions() -> str:
    """What edits drag along, without and with conditions."""
    rows = [
        (
            line["direction"],
            f"{line['reached_at_2']:.2f}",
            f"{line['leak']:.3f}",
            f"{line['leak_with']:.3f}",
            ", ".join(line["held"]) or "nothing",
        )
        for line in lines("directions", "conditions")
    ]
    head = ("direction", "reached by 2 deviations", "leak", "with conditions", "held")
    return table(head, rows)


def success() -> str:
    """How often edits bring codes across, and what a condition still lets by."""
    rows = [
        (
            line["direction"],
            f"{line['across']:.1%}",
            line["condition"],
            f"{line['leak']:.1%}",
            f"{line['leak_with']:.1%}",
            f"{line['across_with']:.1%}",
        )
        for line in lines("directions", "success")
    ]
    head = ("direction", "across", "condition", "its leak", "with the condition", "across with it")
    return table(head, rows)


def flow() -> str:
    """What a step drags along, by a flow and straight."""
    rows = [
        (line["attribute"], line["way"], f"{line['reached']:.2f}", f"{line['leak']:.3f}")
        for line in lines("directions", "edit")
    ]
    return table(("attribute", "edit", "reached", "leak"), rows)


def components() -> str:
    """Which factors the principal components of w carry."""
    found = lines("codes", "component")
    rows = [
        (line["component"], f"{line['share']:.1%}", _named(line["true"]), _named(line["seen"]))
        for line in found
    ]
    told = table(("component", "variance", "true factors", "as the pictures read"), rows)
    if not found:
        return told
    return f"{told}\n\n{found[0]['codes']:,} codes, {found[0]['pictures']:,} pictures."


def _named(correlations: Mapping[str, float], least: float = 0.3) -> str:
    """The names that correlate by more than `least`, the strongest first."""
    kept = [f"{name} {value:+.2f}" for name, value in correlations.items() if abs(value) > least]
    return ", ".join(kept) or "none"


def channels() -> str:
    """How local style channels are."""
    found = lines("codes", "channels")
    rows = [
        (
            line["part"],
            f"{line['local']} of {line['traced']:,}",
            f"{line['area']:.1%}",
            ", ".join(f"`{name}`" for name in line["first"]) or "none",
            ", ".join(f"{value:.0%}" for value in line["inside"]),
        )
        for line in found
    ]
    head = ("part", "local channels", "area", "first", "of their change inside the part")
    told = table(head, rows)
    return f"{told}\n\nTraced in {found[0]['pictures']} pictures." if found else told


def dci() -> str:
    """DCI by space."""
    found = lines("codes", "dci")
    rows = [
        (
            line["space"],
            f"{line['numbers']:,}",
            f"{line['disentanglement']:.3f}",
            f"{line['completeness']:.3f}",
            f"{line['informativeness']:.3f}",
        )
        for line in found
    ]
    head = ("space", "numbers", "disentanglement", "completeness", "informativeness")
    told = table(head, rows)
    if not found:
        return told
    first = found[0]
    return f"{told}\n\n{first['codes']:,} codes, {first['attributes']} attributes."


def embedding() -> str:
    """Which pictures embed."""
    found = lines("codes", "embedding")
    rows = [
        (
            line["kind"],
            line["space"],
            f"{line['psnr']:.1f}",
            f"{line['perceptual']:.3f}",
            f"{line['distance']:.2f}",
        )
        for line in found
    ]
    head = ("picture", "space", "PSNR dB", "perceptual", "distance of styles")
    told = table(head, rows)
    return f"{told}\n\n{found[0]['steps']} steps from the mean code." if found else told


TABLES: dict[str, Callable[[], str]] = {
    "costs": costs,
    "cosines": cosines,
    "conditions": conditions,
    "success": success,
    "flow": flow,
    "components": components,
    "channels": channels,
    "dci": dci,
    "embedding": embedding,
}
