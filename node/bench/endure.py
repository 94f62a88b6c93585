#!/usr/bin/env python3
"""Writes at full speed to a three-node cluster for a long time, and watches disks, throughput and stalls every second.

The cluster and the generator (`synod bench put --series`) run on this machine on loopback, with fsync on. Every second
has a row: what was answered, the longest time without any answer, the bytes of each node's data folder. At the end there
are a CSV, a plot (SVG) and a summary; the plot's question is whether disk use stays flat.

Examples:
  node/bench/endure.py --synod target/release/synod --minutes 60 --csv docs/endurance.csv --svg docs/endurance.svg
  node/bench/endure.py --minutes 2 --set storage.reserve_bytes=1GiB

Exit codes: 0 measured; 1 the cluster or the generator failed; 2 wrong arguments.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from compare import Failed, Synod, fetch

MIB = 1 << 20


def folder_bytes(folder):
    """Bytes on the disk of all files below a folder; files come and go meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(place, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total


def sample(cluster):
    """What each node says and has on its disk now."""
    row = {}
    for index, port in enumerate(cluster.pages):
        node = index + 1
        row[f"disk_{node}_mib"] = round(folder_bytes(os.path.join(cluster.folder, f"d{node}")) / MIB, 1)
        try:
            status = fetch(f"http://127.0.0.1:{port}/v1/status")
            row[f"log_{node}_slots"] = status["chosen"] - status["trimmed"]
            row[f"store_{node}_mib"] = round(status["store_bytes"] / MIB, 1)
        except (OSError, ValueError, KeyError):
            row[f"log_{node}_slots"] = row[f"store_{node}_mib"] = ""
    row["resident_mib"] = round(cluster.resident_mib(), 1)
    return row


def run(arguments, cluster):
    """Runs the generator and samples until it ends; the generator's report and one row for each second."""
    seconds = int(arguments.minutes * 60)
    series = os.path.join(cluster.folder, "series.csv")
    command = [
        arguments.synod, "bench", "put", "--endpoints", ",".join(f"127.0.0.1:{port}" for port in cluster.clients),
        "--clients", str(arguments.clients), "--value-size", str(arguments.value_size),
        "--key-space", str(arguments.key_space), "--duration", f"{seconds}s", "--warm-up", "1s", "--series", series,
        "-o", "json",
    ]
    generator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    samples, start = {}, time.monotonic()
    while generator.poll() is None:
        second = int(time.monotonic() - start) + 1
        samples[second] = sample(cluster)
        if second % 60 == 0:
            disks = ", ".join(f"{samples[second][f'disk_{node}_mib']:.0f}" for node in (1, 2, 3))
            print(f"endure: minute {second // 60}: {disks} MiB on the disks", file=sys.stderr)
        time.sleep(max(0.05, start + second - time.monotonic()))
        for process in cluster.processes:
            if process.poll() is not None:
                generator.kill()
                raise Failed(f"a node ended with code {process.returncode}\n{cluster.logs()}")
    out, faults = generator.communicate()
    if generator.returncode != 0:
        raise Failed(f"the generator failed: {faults.strip()}{out}\n{cluster.logs()}")
    with open(series, newline="") as file:
        rows = [{**row, **samples.get(int(row["second"]), {})} for row in csv.DictReader(file)]
    # The last row is the rest of a second.
    return json.loads(out), rows[:-1]


def write_csv(rows, path):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 150, 70, 34, 44
COLOURS = ["#2364aa", "#d1495b", "#2e933c"]


def panel(title, unit, lines, seconds, top):
    """One plot: `lines` are (name, colour, [(second, value)])."""
    highest = max((value for _, _, points in lines for _, value in points), default=0) or 1
    x = lambda second: LEFT + (WIDTH - LEFT - 20) * second / max(seconds, 1)
    y = lambda value: top + HEIGHT - HEIGHT * value / highest
    parts = [f'<text x="{LEFT}" y="{top - 8}" class="title">{title}</text>']
    for share in (0, 0.5, 1):
        at = y(highest * share)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - 20}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" class="tick" text-anchor="end">{highest * share:,.0f} {unit}</text>')
    for index, (name, colour, points) in enumerate(lines):
        path = " ".join(f"{x(second):.1f},{y(value):.1f}" for second, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        if name:
            parts.append(f'<text x="{WIDTH - 200 + 64 * index}" y="{top - 8}" class="tick" fill="{colour}">{name}</text>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        at = seconds * share
        label = f"{at / 60:.0f} min" if seconds >= 120 else f"{at:.0f} s"
        anchor = "end" if share == 1 else "middle"
        parts.append(f'<text x="{x(at):.1f}" y="{top + HEIGHT + 14}" class="tick" text-anchor="{anchor}">{label}</text>')
    return "\n".join(parts)


def thinned(points, most=1200, pick=max):
    """Few enough points to draw: of each stretch the one that matters, so that no peak is lost."""
    step = max(1, len(points) // most)
    return [pick(points[at : at + step], key=lambda point: point[1]) for at in range(0, len(points), step)]


def write_svg(rows, path, caption):
    seconds = len(rows)
    column = lambda name: [(int(row["second"]), float(row[name])) for row in rows if row.get(name) not in (None, "")]
    disks = [(f"node {node}", COLOURS[node - 1], thinned(column(f"disk_{node}_mib"))) for node in (1, 2, 3)]
    panels = [
        ("Puts answered in each second", "", [("", COLOURS[0], thinned(column("answers"), pick=min))]),
        ("Data folder on the disk", "MiB", disks),
        ("Longest time without any answer, in each second", "ms", [("", COLOURS[1], thinned(column("longest_stall_ms")))]),
    ]
    step = HEIGHT + GAP + 14
    body = "\n".join(panel(*what, seconds, TOP + 20 + step * index) for index, what in enumerate(panels))
    with open(path, "w") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOP + step * len(panels) + 20}" font-family="sans-serif">\n'
            "<style>.title{font-size:13px;font-weight:600;fill:#222}.tick{font-size:10px;fill:#555}"
            ".grid{stroke:#ddd;stroke-width:.6}</style>\n"
            f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="{LEFT}" y="18" class="tick">{caption}</text>\n{body}\n</svg>\n'
        )


def summary(report, rows):
    answers = [int(row["answers"]) for row in rows]
    stall = max(rows, key=lambda row: float(row["longest_stall_ms"]))
    errors = sum(int(row["errors"]) for row in rows)
    lines = [
        f"{sum(answers):,} puts in {len(rows)} s: {statistics.mean(answers):,.0f}/s in the mean, "
        f"{statistics.median(answers):,.0f} in the median second, {min(answers):,} in the worst; {errors} errors",
        f"latency ms: p50 {report['latency_ms']['writes']['p50']}, p99 {report['latency_ms']['writes']['p99']}, "
        f"max {report['latency_ms']['writes']['max']}" if "writes" in report.get("latency_ms", {}) else "",
        f"longest time without any answer: {float(stall['longest_stall_ms']):,.0f} ms, in second {stall['second']}",
    ]
    for node in (1, 2, 3):
        disk = [float(row[f"disk_{node}_mib"]) for row in rows if row.get(f"disk_{node}_mib") not in (None, "")]
        third = max(1, len(disk) // 3)
        lines.append(
            f"node {node}: data folder {max(disk):,.0f} MiB at most; mean of the second third "
            f"{statistics.mean(disk[third : 2 * third] or disk):,.0f} MiB, of the last {statistics.mean(disk[-third:]):,.0f} MiB"
        )
    return "\n".join(line for line in lines if line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", default="target/release/synod", help="the binary; also the generator")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--key-space", type=int, default=100_000, help="keys that are overwritten again and again")
    parser.add_argument("--system", default="majority")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the nodes")
    parser.add_argument("--dir", default=tempfile.gettempdir(), help="where data folders are made: choose the disk")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    parser.add_argument("--csv", metavar="FILE", help="where the rows go")
    parser.add_argument("--svg", metavar="FILE", help="where the plot goes")
    arguments = parser.parse_args()
    arguments.synod = os.path.abspath(arguments.synod)
    if not os.access(arguments.synod, os.X_OK):
        print(f"endure: {arguments.synod} is not an executable file", file=sys.stderr)
        return 2
    try:
        with Synod(arguments) as cluster:
            report, rows = run(arguments, cluster)
    except Failed as error:
        print(f"endure: {error}", file=sys.stderr)
        return 1
    if arguments.csv:
        write_csv(rows, arguments.csv)
    if arguments.svg:
        settings = "".join(f", {setting}" for setting in arguments.set)
        caption = f"{arguments.clients} clients, {arguments.value_size}-byte values, {arguments.key_space:,} keys, three nodes on one machine{settings}"
        write_svg(rows, arguments.svg, caption)
    print(summary(report, rows))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
