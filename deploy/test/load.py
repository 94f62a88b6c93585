"""Clients that write all the time, through etcd's own tool."""

import json
import os
import subprocess
import threading
import time
from base64 import b64decode


def etcdctl(endpoints, *arguments, timeout=5):
    """Runs etcdctl: whether it succeeded, and what it said."""
    line = ["etcdctl", "--endpoints", ",".join(endpoints), f"--command-timeout={timeout}s", "--dial-timeout=1s", *arguments]
    environment = os.environ | {"ETCDCTL_API": "3"}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    return done.returncode == 0, done.stdout if done.returncode == 0 else done.stderr


def get_prefix(endpoints, prefix):
    """All keys below a prefix, or nothing if the read fails."""
    done, text = etcdctl(endpoints, "get", "--prefix", prefix, "-w", "json")
    if not done:
        return None
    return {b64decode(kv["key"]).decode(): b64decode(kv["value"]).decode() for kv in json.loads(text).get("kvs", [])}


class Load:
    """Writers that each put one key after the other; a put that fails is tried again until its deadline."""

    WRITERS = 4
    DEADLINE = 30
    PAUSE = 0.1

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.written, self.retried, self.lost, self.slowest = {}, 0, [], 0.0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(writer,)) for writer in range(self.WRITERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self, writer):
        # Each begins elsewhere, so every node has clients.
        ends = self.endpoints[writer % len(self.endpoints) :] + self.endpoints[: writer % len(self.endpoints)]
        number = 0
        while not self.stopping.wait(self.PAUSE):
            key, value = f"load/{writer}/{number:06}", f"value {number}"
            if self.put(ends, key, value):
                self.written[key] = value
            number += 1

    def put(self, endpoints, key, value):
        begin = time.monotonic()
        while True:
            done, reason = etcdctl(endpoints, "put", key, value, timeout=3)
            took = time.monotonic() - begin
            self.slowest = max(self.slowest, took)
            if done:
                return True
            if took > self.DEADLINE:
                self.lost.append(f"{key}: {reason.strip()}")
                return False
            self.retried += 1
