"""Table: rows for people, in columns as wide as what stands in them."""

from collections.abc import Sequence

from hotswap.logs.printable import printable


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A line for each row, below the titles; what came from outside breaks none."""
    lines = [[*titles], *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    )
