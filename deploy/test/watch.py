"""A Prometheus that scrapes the pods of a trial by the labels of the manifests, with the rules of dashboards/."""

import json
import signal
import socket
import subprocess
import urllib.parse
import urllib.request

from manifests import DEPLOY
from pod import die_with_parent, wait_for

RULES = DEPLOY.parent / "dashboards" / "rules"


class Watch:
    """Runs as long as its `with` does."""

    def __init__(self, pods, folder):
        targets = "".join(
            f"      - targets: ['{pod.address}:{pod.port('http')}']\n"
            f"        labels: {{cluster: trial, region: {pod.region.name}, node: {pod.name}}}\n"
            for pod in pods
        )
        self.config = folder / "prometheus.yaml"
        self.config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{RULES}/recording.yaml', '{RULES}/alerts.yaml']\n"
            "scrape_configs:\n  - job_name: synod\n    static_configs:\n" + targets
        )
        self.folder, self.count = folder, len(pods)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"127.0.0.1:{listener.getsockname()[1]}"

    def __enter__(self):
        with (self.folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={self.config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
                 f"--web.listen-address={self.url}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )
        wait_for("every pod is scraped", lambda: len(self.query('up{job="synod"} == 1')) == self.count)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def query(self, expression):
        try:
            with urllib.request.urlopen(f"http://{self.url}/api/v1/query?query={urllib.parse.quote(expression)}", timeout=5) as answer:
                return json.loads(answer.read())["data"]["result"]
        except OSError:
            return []

    def alerts(self, state):
        """Names of alerts that were in this state at any time."""
        found = self.query(f'max by (alertname) (max_over_time(ALERTS{{alertstate="{state}"}}[1h]))')
        return sorted(one["metric"]["alertname"] for one in found)
