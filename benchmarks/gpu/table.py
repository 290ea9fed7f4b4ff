"""What was found beside the floors and what is wanted: an 80 GB H100, bfloat16."""

from collections.abc import Mapping

# shape -> batch: bytes / 3.35 TB/s, an engine with CUDA graphs (estimate), wanted; ms
_DECODING = {
    "1b": {
        1: (0.74, 1.5, 1.3),
        16: (0.82, 1.6, 1.4),
        64: (1.1, 2.0, 1.8),
        256: (2.2, 3.6, 3.2),
    },
    "8b": {
        1: (4.5, 6.3, 5.9),
        16: (4.8, 6.8, 6.3),
        64: (5.8, 8.0, 7.5),
        256: (10.6, 14.0, 13.0),
    },
}
# figure -> wanted for 1b, for 8b; at most, or (below) at least
_AT_MOST = {
    "merged / golden, b 1": (1.01, 1.01),
    "merged / golden, b 16": (1.01, 1.01),
    "merged / golden, b 64": (1.01, 1.01),
    "mixed 4 / golden, b 16": (1.35, 1.25),
    "mixed 16 / golden, b 64": (1.5, 1.35),
    "cold swap, ms": (2.0, 13.0),
    "warm swap, ms": (0.05, 0.05),
    "golden, b 64, launch, ms": (0.2, 0.2),
}
_AT_LEAST = {
    "golden, b 256, tokens/s": (70_000, 18_000),
    "prefill 2048 behind 0, tokens/s": (150_000, 25_000),
}

# Figures of no target; and what ran otherwise than it should, which changes what all
# others mean.
_TOLD = ("engine", "PEFT", "executor", "graphs", "warning", "FAILED", "ERROR")


def table(found: Mapping[str, Mapping[str, object]]) -> str:
    """`found`: figures by part. Markdown."""
    lines = ["| figure | floor | graph engines | wanted | found | |"]
    lines.append("|---|---|---|---|---|---|")
    for place, shape in enumerate(_DECODING):
        figures = found.get(f"steps:{shape}", {})
        for batch, (floor, others, wanted) in _DECODING[shape].items():
            value = figures.get(f"golden, b {batch}, ms")
            name = f"{shape} decoding, b {batch}, ms"
            lines.append(_line(name, floor, others, wanted, value, is_most=True))
        for is_most, every in ((True, _AT_MOST), (False, _AT_LEAST)):
            for name, both in every.items():
                value = figures.get(name)
                label = f"{shape} {name}"
                lines.append(_line(label, "", "", both[place], value, is_most=is_most))
    for part, figures in found.items():
        for name, value in figures.items():
            if name.startswith(_TOLD):
                lines.append(f"| {part} {name} | | | | {value} | |")
    return "\n".join(lines)


def _line(
    name: str,
    floor: object,
    others: object,
    wanted: float,
    value: object,
    *,
    is_most: bool,
) -> str:
    sign = "<=" if is_most else ">="
    if not isinstance(value, int | float):
        return f"| {name} | {floor} | {others} | {sign} {wanted} | none | |"
    reached = value <= wanted if is_most else value >= wanted
    said = "reached" if reached else "missed"
    return f"| {name} | {floor} | {others} | {sign} {wanted} | {value} | {said} |"
