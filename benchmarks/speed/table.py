"""The scores of a speed run as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["table"]


def table(scores: Mapping[str, Any]) -> str:
    """Lines to print."""

    def line(name: str, *cells: str) -> str:
        return f"{name:18}" + "".join(f"{c:>24}" for c in cells)

    def shown(own: Mapping[str, float], scale: float = 1.0, digits: int = 3) -> str:
        middle, low, high = (own[k] * scale for k in ("median", "low", "high"))
        return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"

    rows = ["Medians, and the middle half of the repeats in brackets."]
    for count, batch in scores["batches"].items():
        rows += ["", line(f"{count} at once", "call s/image", "loop s/image", "network s/image")]
        for name, own in batch.items():
            rows.append(line(name, *(shown(s) for s in own["seconds_per_image"].values())))
        rows += ["", line("", "overhead %", "network GFLOP/s", "% of float32 limit")]
        for name, own in batch.items():
            numbers = (own["network_gflops"], own["share_of_limit"])
            cells = (shown(n, scale, 1) for n, scale in zip(numbers, (1, 100), strict=True))
            rows.append(line(name, shown(own["overhead"], 100, 2), *cells))
        rows += ["", line("x mmgen", "call", "loop", "network")]
        for name, own in batch.items():
            if "over_mmgen" in own:
                rows.append(line(name, *(shown(r, 1, 2) for r in own["over_mmgen"].values())))
    gflops = scores["limit"]["gflops"]
    rows += ["", *(f"{name} products: {shown(own, 1, 1)} GFLOP/s" for name, own in gflops.items())]
    for name, own in scores["parameters"].items():
        memory = "" if scores["peak_memory_mb"] is None else scores["peak_memory_mb"][name]
        network = f"{own['network'] / 1e6:.2f} M parameters in the network"
        rows.append(f"{name}: {network}, {own['all'] / 1e6:.2f} M in all; peak MB {memory or '-'}")
    for name, bar in scores["bars"].items():
        verdict = "met" if bar["met"] else "NOT MET"
        rows.append(f"{name}: {bar['value']:.4g}, at most {bar['at_most']:g}: {verdict}")
    return "\n".join(rows)
