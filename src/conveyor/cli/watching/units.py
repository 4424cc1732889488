"""Numbers, spans of time and sizes in at most six characters, for columns."""

from __future__ import annotations

__all__ = ["count", "duration", "rate", "size", "span_text"]


def count(number: float) -> str:
    """`999`, `9999`, `12.3k`, `1.23M`."""
    return str(int(number)) if number < 10_000 else _scaled(number, 1000, ("k", "M", "G", "T"))


def rate(per_second: float) -> str:
    """`0`, `0.25`, `12.5`, `480`, `12.3k`."""
    if per_second <= 0:
        return "0"
    if per_second < 9.995:
        return f"{per_second:.2f}"
    return f"{per_second:.1f}" if per_second < 99.95 else count(round(per_second))


def size(of_bytes: float) -> str:
    """`0`, `512`, `64.0K`, `1.50M`."""
    return str(int(of_bytes)) if of_bytes < 1000 else _scaled(of_bytes, 1024, ("K", "M", "G", "T"))


def duration(seconds: float) -> str:
    """`0`, `12us`, `3.4ms`, `250ms`, `7.5s`, `59s`, `3m07`, `2h05`, `4d02`."""
    if seconds < 1e-6:
        return "0"
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f}us"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.1f}ms" if seconds < 9.95e-3 else f"{seconds * 1e3:.0f}ms"
    if seconds < 59.5:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    minutes, second = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{second:02}"
    hours, minute = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h{minute:02}"
    days, hour = divmod(hours, 24)
    return f"{days}d{hour:02}" if days < 1000 else f"{days}d"


def span_text(seconds: float | None, apart: float) -> str:
    """How long items waited: `<1.0s` if it was less than what lies between two looks."""
    if seconds is None:
        return ""
    return f"<{duration(apart)}" if seconds == 0 else duration(seconds)


def _scaled(number: float, step: int, units: tuple[str, ...]) -> str:
    unit = ""
    for unit in units:  # noqa: B007 - the last one serves
        number /= step
        if number < 999.5:
            break
    if number < 9.995:
        return f"{number:.2f}{unit}"
    return f"{number:.1f}{unit}" if number < 99.95 else f"{number:.0f}{unit}"
