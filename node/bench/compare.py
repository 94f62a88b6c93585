#!/usr/bin/env python3
"""Measures a three-member etcd and a three-node Synod on this machine, one after the other, with the same generator.

Both clusters run on loopback with their data on the same disk and fsync on, never at the same time. Rounds alternate,
and each cell of the table is the median of its rounds, so a noisy neighbour hits both. The generator is `synod bench`;
its CPU and the servers' CPU are shown per request, because on few cores they share what there is.

Example:
  node/bench/compare.py --synod target/release/synod --rounds 3 --duration 5 --clients 64,256

Exit codes: 0 measured; 1 a cluster did not start or the generator failed; 2 wrong arguments.
"""

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MEMBERS = 3
START_SECONDS = 60
STOP_SECONDS = 20
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A cluster or the generator did not do its part."""


GIVEN = set()


def free_port(kind):
    """A port that was never given. It lies below those that systems give to connections, so none takes it before it is listened on."""
    while True:
        port = random.randrange(15_000, 32_000)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                # Somebody else listens there.
                pass


def fetch(url):
    with urllib.request.urlopen(url, timeout=2) as answer:
        return json.load(answer)


class Cluster:
    """Three processes and their folder; leaving the `with` block stops and removes them."""

    name = ""

    def __init__(self, arguments):
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix=f"compare-{self.name}-", dir=os.path.abspath(arguments.dir))
        self.processes = []

    def __enter__(self):
        try:
            self.start()
            deadline = time.monotonic() + START_SECONDS
            while not self.ready():
                for process in self.processes:
                    if process.poll() is not None:
                        raise Failed(f"{self.name}: a member ended with code {process.returncode}\n{self.logs()}")
                if time.monotonic() > deadline:
                    raise Failed(f"{self.name}: no leader within {START_SECONDS} s\n{self.logs()}")
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self.arguments.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, command):
        log = open(os.path.join(self.folder, f"log-{len(self.processes)}"), "wb")
        with log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)

    def logs(self):
        text = ""
        for index in range(len(self.processes)):
            with open(os.path.join(self.folder, f"log-{index}"), errors="replace") as log:
                text += f"--- member {index + 1}\n" + "".join(log.readlines()[-10:])
        return text

    def cpu_seconds(self):
        total = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def resident_mib(self):
        pages = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/statm") as statm:
                pages += int(statm.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Etcd(Cluster):
    """Three members of etcd with their default settings."""

    name = "etcd"

    def start(self):
        self.clients = [free_port(socket.SOCK_STREAM) for _ in range(MEMBERS)]
        peers = [free_port(socket.SOCK_STREAM) for _ in range(MEMBERS)]
        members = ",".join(f"m{index}=http://127.0.0.1:{port}" for index, port in enumerate(peers))
        for index in range(MEMBERS):
            client, peer = f"http://127.0.0.1:{self.clients[index]}", f"http://127.0.0.1:{peers[index]}"
            self.spawn([
                self.arguments.etcd, "--name", f"m{index}", "--data-dir", os.path.join(self.folder, f"d{index}"),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", members, "--initial-cluster-state", "new",
            ])

    def ready(self):
        try:
            return all(fetch(f"http://127.0.0.1:{port}/health")["health"] == "true" for port in self.clients)
        except (OSError, ValueError, KeyError):
            return False


class Synod(Cluster):
    """Three nodes of Synod with their default settings."""

    name = "synod"

    def start(self):
        synod = self.arguments.synod
        certs = ["certs", "ca", "--dir", "certs", "--cluster", "compare"]
        self.run_once([synod, *certs])
        self.clients = [free_port(socket.SOCK_STREAM) for _ in range(MEMBERS)]
        self.pages = [free_port(socket.SOCK_STREAM) for _ in range(MEMBERS)]
        peers = [free_port(socket.SOCK_DGRAM) for _ in range(MEMBERS)]
        tables = ""
        for index in range(MEMBERS):
            node, region = index + 1, f"r{index + 1}"
            certs = ["certs", "node", "--dir", "certs", "--cluster", "compare", "--node", str(node), "--region", region]
            self.run_once([synod, *certs])
            tables += f'[[member]]\nnode = {node}\nname = "m{node}"\nregion = "{region}"\n'
            tables += f'address = "127.0.0.1:{peers[index]}"\nclient_url = "http://127.0.0.1:{self.clients[index]}"\n\n'
        for index in range(MEMBERS):
            node = index + 1
            path = os.path.join(self.folder, f"m{node}.toml")
            with open(path, "w") as settings:
                settings.write(
                    f'cluster = "compare"\nnode = {node}\ndata_dir = "d{node}"\nsystem = "{self.arguments.system}"\n\n'
                    f'[listen]\npeers = "127.0.0.1:{peers[index]}"\nclients = "127.0.0.1:{self.clients[index]}"\n'
                    f'http = "127.0.0.1:{self.pages[index]}"\n\n[certificates]\nauthority = "certs/ca.pem"\n'
                    f'certificate = "certs/node-{node}.pem"\nkey = "certs/node-{node}.key"\n\n{tables}'
                )
            self.spawn([synod, "start", "--settings", path, "--bootstrap", *self.extra()])

    def extra(self):
        return [part for setting in self.arguments.set for part in ("--set", setting)]

    def run_once(self, command):
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)} failed: {done.stderr.strip()}")

    def ready(self):
        try:
            return all(fetch(f"http://127.0.0.1:{port}/health")["health"] == "true" for port in self.pages)
        except (OSError, ValueError, KeyError):
            return False


def measure(arguments, cluster, clients):
    """One run of the generator; its JSON with the servers' CPU added."""
    endpoints = ",".join(f"127.0.0.1:{port}" for port in cluster.clients)
    command = [
        arguments.synod, "bench", *arguments.operation.split(), "--endpoints", endpoints, "--clients", str(clients),
        "--value-size", str(arguments.value_size), "--duration", f"{arguments.duration}s", "--warm-up", "1s",
        "-o", "json",
    ]
    if arguments.target == "leader":
        command.append("--target-leader")
    before = cluster.cpu_seconds()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=arguments.duration + 60)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{cluster.name}: the generator did not end\n{cluster.logs()}") from error
    if done.returncode != 0:
        raise Failed(f"{cluster.name}: the generator failed: {done.stderr.strip()}{done.stdout}\n{cluster.logs()}")
    result = json.loads(done.stdout)
    # CPU was counted over warm-up and measurement, requests over the measurement only.
    span = (result["seconds"] + 1) / result["seconds"]
    requests = sum(kind["requests"] for kind in result["latency_ms"].values()) * span
    result["server_cpu_us"] = (cluster.cpu_seconds() - before) / max(requests, 1) * 1e6
    result["generator_cpu_us"] = result["generator_cpu_seconds"] / max(requests, 1) * 1e6
    result["resident_mib"] = cluster.resident_mib()
    return result


def latency(result, key):
    kinds = [kind for kind in result["latency_ms"].values() if kind["requests"] > 0]
    return max(kind[key] for kind in kinds)


COLUMNS = [
    ("requests/s", lambda result: result["throughput_rps"], "{:,.0f}"),
    ("p50 ms", lambda result: latency(result, "p50"), "{:.2f}"),
    ("p99 ms", lambda result: latency(result, "p99"), "{:.2f}"),
    ("p99.9 ms", lambda result: latency(result, "p99_9"), "{:.2f}"),
    ("server us/req", lambda result: result["server_cpu_us"], "{:.0f}"),
    ("generator us/req", lambda result: result["generator_cpu_us"], "{:.0f}"),
    ("RSS MiB", lambda result: result["resident_mib"], "{:.0f}"),
]


def show(results, clients):
    """The table: a line for each system and number of clients, then the ratio of Synod to etcd."""
    print(f"{'':22}" + "".join(f"{name:>18}" for name, _, _ in COLUMNS))
    for count in clients:
        medians = {}
        for name in ("etcd", "synod"):
            runs = results.get((name, count), [])
            if not runs:
                continue
            medians[name] = [statistics.median(value(run) for run in runs) for _, value, _ in COLUMNS]
            cells = "".join(f"{form.format(median):>18}" for median, (_, _, form) in zip(medians[name], COLUMNS))
            errors = sum(sum(run["errors"].values()) for run in runs)
            print(f"{name + f', {count} clients':22}{cells}" + (f"  {errors} errors" if errors else ""))
        if len(medians) == 2:
            ratios = [synod / etcd if etcd else float("nan") for etcd, synod in zip(medians["etcd"], medians["synod"])]
            print(f"{'synod / etcd':22}" + "".join(f"{ratio:>17.2f}x" for ratio in ratios))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", default="target/release/synod", help="the binary; also the generator")
    parser.add_argument("--etcd", default="/usr/bin/etcd")
    parser.add_argument("--only", choices=["etcd", "synod"], help="measure one of them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=int, default=5, help="seconds of each measurement")
    parser.add_argument("--clients", default="64,256", help="numbers of clients, separated by commas")
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--operation", default="put", help='operation of `synod bench`, for example "txn-put --ops 100"')
    parser.add_argument("--target", choices=["all", "leader"], default="all", help="which members clients talk to")
    parser.add_argument("--system", default="majority", help="Synod's quorum system")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of Synod's nodes")
    parser.add_argument("--dir", default=".", help="where data folders are made: choose the disk to measure")
    parser.add_argument("--keep", action="store_true", help="keep data and logs")
    parser.add_argument("--json", metavar="FILE", help="write every result there")
    arguments = parser.parse_args()
    arguments.synod = os.path.abspath(arguments.synod)
    arguments.clients = [int(count) for count in arguments.clients.split(",")]
    return arguments


def main():
    arguments = parse()
    systems = [system for system in (Etcd, Synod) if arguments.only in (None, system.name)]
    for system in systems:
        binary = arguments.etcd if system is Etcd else arguments.synod
        if not os.access(binary, os.X_OK):
            print(f"compare: {binary} is not an executable file", file=sys.stderr)
            return 2
    results = {}
    try:
        for number in range(arguments.rounds):
            # The order changes with every round, so that neither always follows the other.
            for system in systems if number % 2 == 0 else reversed(systems):
                with system(arguments) as cluster:
                    for clients in arguments.clients:
                        result = measure(arguments, cluster, clients)
                        results.setdefault((system.name, clients), []).append(result)
                        print(
                            f"round {number + 1}: {system.name}, {clients} clients: "
                            f"{result['throughput_rps']:,.0f} requests/s, p99 {latency(result, 'p99'):.2f} ms",
                            file=sys.stderr,
                        )
    except Failed as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    show(results, arguments.clients)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump([{"system": name, "clients": clients, "runs": runs} for (name, clients), runs in results.items()], file, indent=1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
