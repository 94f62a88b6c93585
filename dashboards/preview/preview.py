#!/usr/bin/env python3
"""Draws every panel of every dashboard with data of a real cluster, in headless Chromium: one picture for each dashboard.

    preview.py --synod PATH [--minutes 5]

The pictures are of the same JSON that Grafana gets, drawn by page.html instead, which knows the five kinds of panels used here. They show
what a panel asks and that it has an answer; Grafana's own look differs.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))

from live import HERE, Stage, concrete, fetch, wait_for

STEP = 5


def answers(stage, panel, span):
    """What Prometheus answers to each query of a panel, as series of values."""
    results = []
    for target in panel["targets"]:
        asked = {"query": concrete(target["expr"])}
        if target["instant"]:
            asked["time"], path = span["end"], "query"
        else:
            asked |= {"start": span["start"], "end": span["end"], "step": STEP}
            path = "query_range"
        found = json.loads(fetch(f"{stage.prometheus}/api/v1/{path}?{urllib.parse.urlencode(asked)}"))["data"]["result"]
        results.append([{"metric": one["metric"], "values": one.get("values") or [one["value"]]} for one in found])
    return results


def draw(chromium, folder, document, results, span):
    """Writes the picture of one dashboard."""
    data = {"dashboard": document, "results": results, "span": span, "step": STEP}
    page = (HERE / "preview" / "page.html").read_text().replace("/*DATA*/ null", json.dumps(data).replace("</", "<\\/"))
    path = folder / f"{document['uid']}.html"
    path.write_text(page)
    height = 70 + 30 * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    line = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}",
            f"--window-size=1456,{height}"]
    # The page counts what it has drawn, so a mistake in it is not taken for a picture.
    dom = subprocess.run([*line, "--dump-dom", path.as_uri()], capture_output=True, text=True, check=True).stdout
    if f'data-drawn="{len(document["panels"])}"' not in dom:
        raise RuntimeError(f"{document['uid']}: not every panel was drawn")
    picture = HERE / "preview" / f"{document['uid']}.png"
    subprocess.run([*line, f"--screenshot={picture}", path.as_uri()], capture_output=True, check=True)
    return int(re.search(r'data-empty="(\d+)"', dom)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", required=True)
    parser.add_argument("--minutes", type=float, default=5)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        parser.error("please install chromium")
    with tempfile.TemporaryDirectory(prefix="synod-preview-") as name:
        folder = Path(name)
        stage = Stage(arguments.synod, folder)
        try:
            stage.start()
            wait_for("Prometheus has data", lambda: stage.query("availability_pct"), 120)
            time.sleep(60 * arguments.minutes)
            end = int(time.time())
            span = {"start": end - int(60 * arguments.minutes), "end": end}
            empty = 0
            documents = [json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))]
            for document in documents:
                results = {panel["id"]: answers(stage, panel, span) for panel in document["panels"]}
                empty += draw(chromium, folder, document, results, span)
        finally:
            stage.stop()
    panels = sum(len(document["panels"]) for document in documents)
    print(f"preview: {len(documents)} pictures of {panels} panels, {empty} without data")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
