#!/usr/bin/env python3
"""A real Prometheus scrapes a real demo cluster: every query of every panel, every rule and every alert has data.

    live.py --synod PATH [--write]      --write writes metrics.md anew

The cluster is `synod demo` with its three regions. Clients of every region write and read all the time.
"""

import argparse
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import generate

HERE = Path(__file__).resolve().parent.parent


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if result := condition():
                return result
        except OSError:
            pass
        time.sleep(0.5)
    raise TimeoutError(f"{what}: not within {seconds} s")


def die_with_parent():
    """Runs in the child: if the test is killed, so is what it started."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Stage:
    """A demo cluster, its clients and a Prometheus; everything ends with it."""

    def __init__(self, synod, folder):
        self.synod, self.folder, self.children = synod, folder, []
        self.nodes = []

    def spawn(self, name, line):
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)
        self.children.append(child)
        return child

    def start(self):
        # The demo takes ten ports a node from the first on; those from 32768 on are lent to whoever connects to anything.
        base = 20000 + os.getpid() % 600 * 20
        line = [self.synod, "demo", "--no-compare", "--samples", "2", "--base-port", str(base), "--dir", str(self.folder / "demo")]
        self.spawn("demo", line)
        pages = [base + 10 * index + 1 for index in range(5)]
        wait_for("the demo cluster is up", lambda: "stays up until" in (self.folder / "demo.log").read_text(), 120)
        for port in pages:
            status = json.loads(fetch(f"http://127.0.0.1:{port}/v1/status"))
            self.nodes.append({"http": port, "clients": port - 1, "name": status["name"], "region": status["region"]})
        for node in (self.nodes[0], self.nodes[2], self.nodes[4]):
            endpoint = f"127.0.0.1:{node['clients']}"
            bench = [self.synod, "bench", "mixed", "--endpoints", endpoint, "--clients", "2", "--rate", "40", "--duration", "10m"]
            self.spawn(f"bench-{node['name']}", bench)
        self.port = free_port()
        self.prometheus = f"http://127.0.0.1:{self.port}"
        self.spawn(
            "prometheus",
            ["prometheus", f"--config.file={self.configure()}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--query.lookback-delta=30s"],
        )

    def configure(self):
        targets = "".join(
            f"      - targets: ['127.0.0.1:{node['http']}']\n"
            f"        labels: {{cluster: demo, region: {node['region']}, node: {node['name']}}}\n"
            for node in self.nodes
        )
        path = self.folder / "prometheus.yaml"
        path.write_text(
            "global: {scrape_interval: 2s, evaluation_interval: 2s}\n"
            f"rule_files: ['{HERE}/rules/recording.yaml', '{HERE}/rules/alerts.yaml']\n"
            "scrape_configs:\n  - job_name: synod\n    static_configs:\n" + targets
        )
        return path

    def query(self, expression):
        text = fetch(f"{self.prometheus}/api/v1/query?query={urllib.parse.quote(expression)}")
        return json.loads(text)["data"]["result"]

    def stop(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def concrete(expression):
    """A panel's query as Grafana would send it, for all regions and nodes."""
    for name, value in (("$cluster", "demo"), ("$region", ".*"), ("$node", ".*"), ("$__rate_interval", "30s")):
        expression = expression.replace(name, value)
    return expression


def names_in(expression):
    """Metrics that a query asks for, without _bucket, _sum and _count of histograms."""
    # After a colon it is part of a recording rule's name; before an equals sign it is a label.
    found = set(re.findall(r"(?<![\w:])((?:synod|process)_\w+|up)\b(?!\s*=[^=])", expression))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


def catalogue(nodes):
    """Every metric of the nodes: type, labels and help."""
    metrics = {}
    for node in nodes:
        for line in fetch(f"http://127.0.0.1:{node['http']}/metrics").splitlines():
            if found := re.match(r"# HELP (\S+) (.*)", line):
                metrics.setdefault(found[1], {"labels": set()})["help"] = found[2]
            elif found := re.match(r"# TYPE (\S+) (\S+)", line):
                metrics.setdefault(found[1], {"labels": set()})["type"] = found[2]
            elif found := re.match(r"(\w+)\{(.*)\} ", line):
                name = re.sub(r"_(bucket|sum|count)$", "", found[1])
                entry = metrics.get(name) or metrics[found[1]]
                entry["labels"] |= set(re.findall(r'(\w+)="', found[2])) - {"le"}
    return metrics


def uses():
    """For every metric, the dashboards and rules that ask for it."""
    used = {}
    for path in HERE.glob("*.json"):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                for name in names_in(target["expr"]):
                    used.setdefault(name, set()).add(document["title"].removeprefix("Synod / "))
    for record in generate.source("recording")["record"]:
        for name in names_in(record["expr"]):
            used.setdefault(name, set()).add("recording rules")
    for alert in generate.source("alerts")["alert"]:
        for name in names_in(alert["expr"]):
            used.setdefault(name, set()).add(f"alert {alert['name']}")
    return used


def catalogue_page(metrics):
    used = uses()
    lines = [
        "# Metrics",
        "",
        "What every node serves at `/metrics`, and who looks at it. Made by `dashboards/test/live.py --write` from a running cluster and",
        "compared with one in the tests. `cluster`, `region` and `node` are added by whoever scrapes.",
        "",
        "| metric | type | labels | what it says | used by |",
        "|---|---|---|---|---|",
    ]
    for name, entry in sorted(metrics.items()):
        labels = ", ".join(f"`{label}`" for label in sorted(entry["labels"]))
        by = ", ".join(sorted(used.get(name, {"nobody yet: for debugging"})))
        lines.append(f"| `{name}` | {entry['type']} | {labels} | {entry['help']} | {by} |")
    return "\n".join(lines) + "\n"


def judge_boards(stage):
    """Queries of panels that have no data."""
    asked, empty = 0, []
    for path in sorted(HERE.glob("*.json")):
        document = json.loads(path.read_text())
        for panel in document["panels"]:
            for target in panel["targets"]:
                asked += 1
                result = stage.query(concrete(target["expr"]))
                good = [sample for sample in result if sample["value"][1] != "NaN"]
                if not good:
                    empty.append(f"{document['title']}: {panel['title']}: {concrete(target['expr'])}")
    return asked, empty


def judge_rules(stage):
    """Rules that Prometheus cannot evaluate, or records that have no data."""
    groups = json.loads(fetch(f"{stage.prometheus}/api/v1/rules"))["data"]["groups"]
    faults, count, firing = [], 0, []
    for rule in (rule for group in groups for rule in group["rules"]):
        count += 1
        if rule["health"] != "ok":
            faults.append(f"{rule['name']}: {rule.get('lastError')}")
        if rule["type"] == "recording" and not stage.query(rule["name"]):
            faults.append(f"{rule['name']} records nothing")
        if rule["type"] == "alerting" and rule["state"] == "firing":
            firing.append(rule["name"])
    return count, faults, firing


def run(stage, write):
    stage.start()
    # Rates over five minutes need two scrapes; histograms and shares need traffic in between.
    wait_for("Prometheus has data", lambda: stage.query("availability_pct") and stage.query("consensus_latency_ms"), 120)
    wait_for("every node is scraped", lambda: len(stage.query('up{job="synod"} == 1')) == 5, 60)
    asked, empty = judge_boards(stage)
    for _ in range(20):
        if not empty:
            break
        time.sleep(2)
        asked, empty = judge_boards(stage)
    rules, faults, firing = judge_rules(stage)
    faults += [f"no data: {sentence}" for sentence in empty]
    faults += [f"{name} fires on a healthy cluster" for name in firing]
    metrics = catalogue(stage.nodes)
    used = uses()
    faults += [f"{name} is asked for by {sorted(used[name])}, but no node serves it" for name in sorted(used) if name not in metrics and name != "up"]
    page = catalogue_page(metrics)
    path = HERE / "metrics.md"
    if write:
        path.write_text(page)
    elif path.read_text() != page:
        faults.append("metrics.md is not what the nodes serve; see --write")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=fetch(f"http://127.0.0.1:{stage.nodes[0]['http']}/metrics"),
        capture_output=True, text=True, check=False,
    )
    if checked.returncode == 1:
        faults.append(f"promtool check metrics: {checked.stderr}")
    # Prometheus asks for OpenMetrics, and takes nothing of a page that does not keep to it.
    asked_as = urllib.request.Request(
        f"http://127.0.0.1:{stage.nodes[0]['http']}/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )
    with urllib.request.urlopen(asked_as, timeout=10) as answer:
        if "openmetrics" not in answer.headers["Content-Type"] or not answer.read().endswith(b"# EOF\n"):
            faults.append("/metrics is not OpenMetrics for those who ask for it")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(
        f"live: {len(stage.nodes)} nodes; {asked} queries of {len(list(HERE.glob('*.json')))} dashboards and {rules} rules asked, "
        f"{len(metrics)} metrics in the catalogue ({sum(name not in used for name in metrics)} for debugging): {len(faults)} faults"
    )
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--stay", action="store_true", help="keep everything running until Ctrl-C, and say where")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synod-dashboards-") as folder:
        stage = Stage(arguments.synod, Path(folder))
        try:
            code = run(stage, arguments.write)
            if arguments.stay:
                print(f"Prometheus: {stage.prometheus}", flush=True)
                signal.sigwait({signal.SIGINT, signal.SIGTERM})
            return code
        except TimeoutError as error:
            print(f"live: {error}", file=sys.stderr)
            for log in Path(folder).glob("*.log"):
                print(f"{log.name}: {log.read_text(errors='replace')[-500:]}", file=sys.stderr)
            return 1
        finally:
            stage.stop()


if __name__ == "__main__":
    sys.exit(main())
