"""Reserved names: those of the bare model, which no adapter may take."""

from collections.abc import Set

from scheduler.job import BASE


def is_base(name: str) -> bool:
    """Whether a request that names `name` asks for the bare model."""
    return name in ("", BASE)


def why_reserved(name: str, reserved: Set[str]) -> str | None:
    """Why no adapter may be called `name`; None if one may.

    `reserved`: what the bare model is called besides `base`.
    """
    if is_base(name) or name in reserved:
        return f"the name `{name}` is the bare model's"
    if name.startswith(tuple(f"{base}:" for base in reserved)):
        # As `model` says it, it is BASE:NAME: another adapter would answer.
        return f"the name `{name}` asks for another adapter"
    return None
