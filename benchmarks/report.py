"""The table, the JSON file, the plot and the last line of one run."""

from __future__ import annotations

import json
import os
import platform
import ssl
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("cryptography", "pyarrow", "pandas", "msgspec")


def machine() -> dict[str, Any]:
    """Name what was measured on."""
    model = platform.processor() or platform.machine()
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = dict(
            line.split(":", 1) for line in info.read_text().splitlines() if line.count(":") == 1
        )
        named = {name.strip(): value.strip() for name, value in lines.items()}
        model, flags = named.get("model name", model), named.get("flags", "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "extensions": [name for name in ("aes", "sha_ni", "avx2", "avx512f") if name in flags],
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        **{name: version(name) for name in _LIBRARIES},
    }


def text(result: dict[str, Any]) -> str:
    """Return the whole table, the last line included."""
    box = result["machine"]
    cpu = result["cpu_ns"]
    lines = [
        f"{box['cpu']}, {box['cores']} cores ({', '.join(box['extensions'])}); {box['system']}",
        f"Python {box['python']}, {box['openssl']}, "
        + ", ".join(f"{name} {box[name]}" for name in _LIBRARIES),
        "",
        "CPU per record, ns (median)            repr        JSON",
    ]
    for name in (
        "ours",
        "ours, without the kernel",
        "ours, 5 % bad tokens",
        "the original's way",
        "pandas apply",
    ):
        lines.append(_row(name, cpu[f"{name}/repr"], cpu[f"{name}/json"]))
    floors = [result["floor"][kind] for kind in ("repr", "json")]
    for sum_of, parts in (("floor", "parts"), ("floor with values", "parts with values")):
        lines.append(_row(sum_of, *(one[sum_of] for one in floors)))
        for name in floors[0][parts]:
            lines.append(_row(f"  {name}", *(one[parts][name] for one in floors)))
    lines += ["", "ours against (times)                   repr        JSON"]
    for name in ("the original's way", "pandas apply", "ours, without the kernel"):
        ratios = [cpu[f"{name}/{kind}"] / cpu[f"ours/{kind}"] for kind in ("repr", "json")]
        lines.append(_row(name, *ratios, digits=1))
    for name in ("floor", "floor with values"):
        ratios = [cpu[f"ours/{k}"] / result["floor"][k][name] for k in ("repr", "json")]
        lines.append(_row(name, *ratios, digits=2))
    lines.append(_row("5 % bad tokens", *_bad(cpu), digits=2))
    lines += ["", "where ours goes, ns per record         repr        JSON"]
    stages = result["stages"]
    for name in {**stages["repr"], **stages["json"]}:
        lines.append(_row(name, stages["repr"].get(name, 0.0), stages["json"].get(name, 0.0)))
    lines += ["", "records     CPU ns/record   peak MB"]
    for size in result["sizes"]:
        lines.append(f"{size['records']:>9,} {size['cpu_ns']:>13,.0f} {size['rss_mb']:>10,.0f}")
    lake, size = result["lake"], result["bytes"]
    lines += [
        "",
        f"two processes against one: {result['two_processes']:.2f} times the records per second",
        f"the whole of `land`, parent and children: {lake['land_cpu_ns']:,.0f} ns of CPU per "
        f"record ({lake['land_records']:,} records), beside {lake['land_start_seconds']:.1f} s to "
        "start",
        f"bytes per record at {size['records']:,} a day: Parquet {size['merged']:.2f} "
        f"({size['landed']:.2f} as landed), gzip -9 JSON {size['gzip_json']:.2f}",
    ]
    for name in ("landed", "compacted"):
        one = lake[name]
        lines.append(
            f"one day, two columns, of {one['days']} days {name}: {one['scanned']:,} of "
            f"{one['bytes']:,} bytes read, {one['scanned_share']:.2%} ({one['files']} files)"
        )
    return "\n".join([*lines, "", last_line(result)])


def last_line(result: dict[str, Any]) -> str:
    """Return the line by which runs are compared."""
    cpu = result["cpu_ns"]
    ours = {kind: cpu[f"ours/{kind}"] for kind in ("repr", "json")}
    theirs = {kind: cpu[f"the original's way/{kind}"] for kind in ("repr", "json")}
    figures = {
        "vs_original": f"{theirs['repr'] / ours['repr']:.1f}",
        "vs_original_json": f"{theirs['json'] / ours['json']:.1f}",
        "vs_floor": f"{ours['repr'] / result['floor']['repr']['floor']:.2f}",
        "rss_mb": f"{max(size['rss_mb'] for size in result['sizes']):.0f}",
        "two_processes": f"{result['two_processes']:.2f}",
        "bytes_ratio": f"{result['bytes']['merged'] / result['bytes']['gzip_json']:.3f}",
    }
    return "bench: " + " ".join(f"{name}={value}" for name, value in figures.items())


def _bad(cpu: dict[str, float]) -> list[float]:
    return [cpu[f"ours, 5 % bad tokens/{k}"] / cpu[f"ours/{k}"] for k in ("repr", "json")]


def _row(name: str, *values: float, digits: int = 0) -> str:
    return f"{name:<32}" + "".join(f"{value:>12,.{digits}f}" for value in values)


def write(result: dict[str, Any], folder: Path) -> list[Path]:
    """Write the JSON file and the plot."""
    folder.mkdir(parents=True, exist_ok=True)
    data, plot = folder / "bench.json", folder / "bench.svg"
    data.write_text(json.dumps(result, indent=2) + "\n")
    plot.write_text(_svg(result["sizes"]))
    return [data, plot]


# ---------- the plot

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 420, 260, 64, 40, 44


def _svg(sizes: Sequence[dict[str, Any]]) -> str:
    panels = [
        ("CPU per record (ns)", "cpu_ns", "#2563eb", 0),
        ("Peak memory (MB)", "rss_mb", "#b45309", _WIDTH),
    ]
    drawn = "".join(_panel(sizes, *panel) for panel in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img">'
        f"<title>Cost and memory against the number of records</title>"
        f'<rect width="100%" height="100%" fill="#fff"/>{drawn}</svg>\n'
    )


def _panel(sizes: Sequence[dict[str, Any]], title: str, name: str, colour: str, left: int) -> str:
    most = max(size["records"] for size in sizes)
    top = _round_up(max(size[name] for size in sizes))
    width, height = _WIDTH - _LEFT - 24, _HEIGHT - _TOP - _BOTTOM

    def x(count: float) -> float:
        return left + _LEFT + width * count / most

    def y(value: float) -> float:
        return _TOP + height * (1 - value / top)

    marks = "".join(
        f'<line x1="{x(0):.0f}" x2="{x(most):.0f}" y1="{y(v):.1f}" y2="{y(v):.1f}" '
        f'stroke="#ddd"/><text x="{x(0) - 8:.0f}" y="{y(v) + 4:.1f}" text-anchor="end">'
        f"{v:,.0f}</text>"
        for v in (0, top / 4, top / 2, top * 3 / 4, top)
    )
    points = [(x(size["records"]), y(size[name])) for size in sizes]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points
    )
    ends = "".join(
        f'<text x="{x(count):.1f}" y="{_TOP + height + 18}" text-anchor="middle">'
        f"{count / 1e6:g} M</text>"
        for count in (0, most / 2, most)
    )
    return (
        f'<text x="{left + _LEFT}" y="22" font-weight="600">{title}</text>{marks}{ends}'
        f'<text x="{x(most / 2):.0f}" y="{_HEIGHT - 8}" text-anchor="middle" fill="#555">records'
        f'</text><polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
    )


def _round_up(value: float) -> float:
    step = 10 ** (len(str(int(value))) - 1)
    return float((int(value) // step + 1) * step)


def say(message: str) -> None:
    """Report progress, beside what is printed at the end."""
    sys.stderr.write(f"bench: {message}\n")
    sys.stderr.flush()
