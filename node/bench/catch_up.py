#!/usr/bin/env python3
"""Measures what it takes to bring a member up from nothing while the cluster works, and how soon a node is back.

Three voters and a member that does not vote, on loopback, with fsync on. The voters are filled and their journals trimmed;
clients write; then the fourth member starts on an empty disk and fetches a copy of the state. Reported are how long it takes
until it is level with the others, how fast that is, and what the clients' throughput is meanwhile, as a ratio to before and after. At the end the member is
killed and started again: the time until it is ready and has served a read is what a restart costs with that much data.

On few cores the members, the generator and the copy share what there is, so the ratio says more than the rates.

One copy should be enough, however fast clients write and however little journals keep otherwise: more than --most-copies is an
error at once. Filling takes longer than all the rest: with --filled DIR the voters' folders stay in DIR, and the next run begins
with them.

Example:
  node/bench/catch_up.py --synod target/release/synod --mebibytes 2048
  node/bench/catch_up.py --synod target/release/synod --mebibytes 160 --value-size 128     (1.3 million keys)
  node/bench/catch_up.py --synod target/release/synod --mebibytes 10240 --filled /var/tmp/ten

Exit codes: 0 measured; 1 a cluster did not start, the generator failed, or what was required was not reached; 2 wrong arguments.
"""

import argparse
import collections
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

from compare import Failed, Synod, fetch, free_port

VOTERS = 3
PATIENCE_SECONDS = 1800


class CatchUp(Synod):
    """Three voters that run, and a learner that does not yet."""

    def __init__(self, arguments):
        self.filled = False
        if not arguments.filled:
            super().__init__(arguments)
            return
        self.arguments, self.processes = arguments, []
        self.folder = os.path.abspath(arguments.filled)
        os.makedirs(self.folder, exist_ok=True)

    def start(self):
        if self.arguments.filled and os.path.exists(self.mark()):
            with open(self.mark()) as mark:
                found = json.load(mark)
            asked = {"mebibytes": self.arguments.mebibytes, "value_size": self.arguments.value_size}
            if found["of"] != asked:
                raise Failed(f"{self.folder} was filled with {found['of']}, and {asked} is asked for")
            self.clients, self.pages, self.filled = found["clients"], found["pages"], True
            shutil.rmtree(os.path.join(self.folder, f"d{VOTERS + 1}"), ignore_errors=True)
            for index in range(VOTERS):
                self.launch(index, False)
            return
        synod = self.arguments.synod
        self.run_once([synod, "certs", "ca", "--dir", "certs", "--cluster", "catch-up"])
        count = VOTERS + 1
        self.clients = [free_port(socket.SOCK_STREAM) for _ in range(count)]
        self.pages = [free_port(socket.SOCK_STREAM) for _ in range(count)]
        peers = [free_port(socket.SOCK_DGRAM) for _ in range(count)]
        tables = ""
        for index in range(count):
            node, region = index + 1, f"r{index + 1}"
            certs = ["certs", "node", "--dir", "certs", "--cluster", "catch-up", "--node", str(node), "--region", region]
            self.run_once([synod, *certs])
            tables += f'[[member]]\nnode = {node}\nname = "m{node}"\nregion = "{region}"\n'
            tables += f'address = "127.0.0.1:{peers[index]}"\nclient_url = "http://127.0.0.1:{self.clients[index]}"\n'
            tables += 'role = "learner"\n\n' if index == VOTERS else "\n"
        for index in range(count):
            node = index + 1
            with open(self.settings(index), "w") as settings:
                settings.write(
                    f'cluster = "catch-up"\nnode = {node}\ndata_dir = "d{node}"\nsystem = "majority"\n\n'
                    f'[listen]\npeers = "127.0.0.1:{peers[index]}"\nclients = "127.0.0.1:{self.clients[index]}"\n'
                    f'http = "127.0.0.1:{self.pages[index]}"\n\n[certificates]\nauthority = "certs/ca.pem"\n'
                    f'certificate = "certs/node-{node}.pem"\nkey = "certs/node-{node}.key"\n\n'
                    f'[limits]\nmax_log_bytes = "64MiB"\n\n{tables}'
                )
        for index in range(VOTERS):
            self.launch(index, True)

    def mark(self):
        """Says that a folder is filled, and with what."""
        return os.path.join(self.folder, "filled.json")

    def settings(self, index):
        return os.path.join(self.folder, f"m{index + 1}.toml")

    def launch(self, index, bootstrap):
        first = ["--bootstrap"] if bootstrap else []
        self.spawn([self.arguments.synod, "start", "--settings", self.settings(index), *first, *self.extra()])

    def ready(self):
        try:
            return all(fetch(f"http://127.0.0.1:{port}/health")["health"] == "true" for port in self.pages[:VOTERS])
        except (OSError, ValueError, KeyError):
            return False

    def status(self, index):
        """What the node says of itself; nothing while it starts."""
        try:
            return fetch(f"http://127.0.0.1:{self.pages[index]}/v1/status")
        except (OSError, ValueError):
            return None

    def is_ready(self, index):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.pages[index]}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def serves_reads(self, index):
        """Whether it answers a read of its own state, as etcd's gateway would ask for it."""
        endpoint = f"127.0.0.1:{self.clients[index]}"
        command = [self.arguments.synod, "bench", "range", "--consistency", "serializable", "--endpoints", endpoint]
        command += ["--total", "1", "--warm-up", "0s", "--clients", "1", "--key-space", "1000", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.returncode == 0 and json.loads(done.stdout)["throughput_rps"] > 0

    def wait(self, what, ready):
        begun = time.monotonic()
        while not ready():
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise Failed(f"{what} did not happen within {PATIENCE_SECONDS} s\n{self.logs()}")
            time.sleep(0.02)
        return time.monotonic() - begun

    def bench(self, *more):
        endpoints = ",".join(f"127.0.0.1:{port}" for port in self.clients[:VOTERS])
        command = [self.arguments.synod, "bench", "put", "--endpoints", endpoints, "-o", "json", *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        if done.returncode != 0:
            raise Failed(f"the generator failed: {done.stderr.strip()}{done.stdout}\n{self.logs()}")
        return json.loads(done.stdout)

    def fill(self):
        if self.filled:
            return
        count = max(1, (self.arguments.mebibytes << 20) // self.arguments.value_size)
        size = ["--value-size", str(self.arguments.value_size), "--key-space", str(count)]
        self.bench("--prefill", "--clients", "8", "--timeout", "60s", "--duration", "1s", "--warm-up", "0s", *size)
        if self.arguments.filled:
            asked = {"mebibytes": self.arguments.mebibytes, "value_size": self.arguments.value_size}
            with open(self.mark(), "w") as mark:
                json.dump({"of": asked, "clients": self.clients, "pages": self.pages}, mark)

    def load(self):
        """One window of the clients' writes: requests a second, of a few keys, so that the copy's size stays what it is."""
        window = ["--duration", f"{self.arguments.window}s", "--warm-up", "0s"]
        load = ["--clients", str(self.arguments.clients), "--value-size", str(self.arguments.load_value_size)]
        load += ["--key-space", "1000"]
        return self.bench(*window, *load)["throughput_rps"]


class Watch(threading.Thread):
    """Looks at the member that catches up until it has, beside what the clients do."""

    def __init__(self, cluster, index):
        super().__init__(daemon=True)
        self.cluster, self.index, self.begun = cluster, index, time.monotonic()
        self.copy, self.seconds = None, None
        # Copies that were begun, by their slots, and when the last was seen.
        self.copies, self.copied_at = set(), None
        # How far a voter was, and when.
        self.others = collections.deque()

    def run(self):
        while self.seconds is None:
            status = self.cluster.status(self.index) or {}
            copy = status.get("catching_up")
            if copy:
                self.copy, self.copied_at = copy, time.monotonic()
                self.copies.add(copy["slot"])
            elif self.is_level(status.get("applied", 0)) and self.cluster.is_ready(self.index):
                self.seconds = time.monotonic() - self.begun
            time.sleep(0.05)

    def is_level(self, applied):
        """Whether it is at most a second behind: what it calls ready itself may still be out of every journal's reach."""
        now, other = time.monotonic(), self.cluster.status(0) or {}
        self.others.append((now, other.get("applied", 0)))
        while len(self.others) > 1 and self.others[1][0] < now - 1:
            self.others.popleft()
        since, least = self.others[0]
        return since < now - 1 and 0 < least <= applied


def measure(arguments, cluster):
    cluster.fill()
    cluster.wait("trimming", lambda: all((cluster.status(index) or {}).get("trimmed", 0) > 0 for index in range(VOTERS)))
    before = [cluster.load() for _ in range(arguments.windows)]
    cluster.launch(VOTERS, True)
    watch, during = Watch(cluster, VOTERS), []
    watch.start()
    while watch.seconds is None:
        during.append(cluster.load())
        if len(watch.copies) > arguments.most_copies:
            raise Failed(f"the member fetches copy {len(watch.copies)}: of the slots above the one before nothing was left\n{cluster.logs()}")
        if time.monotonic() - watch.begun > PATIENCE_SECONDS:
            raise Failed(f"the member was not ready within {PATIENCE_SECONDS} s\n{cluster.logs()}")
    if watch.copy is None:
        raise Failed(f"the member found all it needed in the journals: fill more\n{cluster.logs()}")
    after = [cluster.load() for _ in range(arguments.windows)]
    status = cluster.status(VOTERS) or {}
    cluster.processes[VOTERS].kill()
    cluster.processes[VOTERS].wait()
    cluster.launch(VOTERS, False)
    begun = time.monotonic()
    cluster.wait("the restart", lambda: cluster.is_ready(VOTERS) and cluster.serves_reads(VOTERS))
    restart = time.monotonic() - begun
    # What else the machine does changes with time; so what the copy costs is told by both sides of it.
    without = statistics.median(before + after)
    copied = watch.copy["estimated_bytes"]
    return {
        "value_size": arguments.value_size,
        "copied_mebibytes": round(copied / (1 << 20)),
        "copies": len(watch.copies),
        "copied_seconds": round(watch.copied_at - watch.begun, 1),
        "ready_seconds": round(watch.seconds, 1),
        "mebibytes_per_second": round(copied / watch.seconds / (1 << 20), 1),
        "store_mebibytes": round(status.get("store_bytes", 0) / (1 << 20)),
        "without_rps": round(without),
        "during_rps": round(statistics.median(during)),
        "ratio": round(statistics.median(during) / without, 2),
        "windows": {
            "before": [round(rate) for rate in before],
            "during": [round(rate) for rate in during],
            "after": [round(rate) for rate in after],
        },
        "restart_seconds": round(restart, 2),
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", default="target/release/synod", help="the binary; also the generator")
    parser.add_argument("--mebibytes", type=int, default=2048, help="bytes of values to copy")
    parser.add_argument("--value-size", type=int, default=8192)
    parser.add_argument("--clients", type=int, default=64, help="clients that write meanwhile")
    parser.add_argument("--load-value-size", type=int, default=256, help="bytes of what they write")
    parser.add_argument("--window", type=int, default=2, help="seconds of one measurement of the clients")
    parser.add_argument("--windows", type=int, default=5, help="measurements before the member starts")
    parser.add_argument("--require-ratio", type=float, default=0.0, help="the least ratio that is good enough")
    parser.add_argument("--require-restart", type=float, default=0.0, metavar="SECONDS", help="the longest restart that is; 0: any")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of all nodes")
    parser.add_argument("--dir", default=".", help="where data folders are made: choose the disk to measure")
    parser.add_argument("--most-copies", type=int, default=3, help="how many copies the member may begin")
    parser.add_argument("--filled", metavar="DIR", help="a folder that stays: filled by the first run, used by later ones")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    arguments = parser.parse_args()
    arguments.synod = os.path.abspath(arguments.synod)
    arguments.keep = arguments.keep or arguments.filled is not None
    return arguments


def main():
    arguments = parse()
    if not os.access(arguments.synod, os.X_OK):
        print(f"catch_up: {arguments.synod} is not an executable file", file=sys.stderr)
        return 2
    try:
        with CatchUp(arguments) as cluster:
            measured = measure(arguments, cluster)
        print(json.dumps(measured, indent=1))
        if measured["ratio"] < arguments.require_ratio:
            raise Failed(f"the clients kept {measured['ratio']} of their throughput, and {arguments.require_ratio} was required")
        if 0.0 < arguments.require_restart < measured["restart_seconds"]:
            raise Failed(f"the restart took {measured['restart_seconds']} s, and {arguments.require_restart} s were allowed")
    except (Failed, subprocess.TimeoutExpired) as error:
        print(f"catch_up: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
