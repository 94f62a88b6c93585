"""What the kustomizations render to, as objects that can be asked."""

import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml

DEPLOY = Path(__file__).resolve().parent.parent
RENDERED = DEPLOY / "rendered"


def topologies():
    """Names of the topologies."""
    return sorted(folder.name for folder in (DEPLOY / "topologies").iterdir() if folder.is_dir())


def regions(topology):
    """Names of a topology's regions, in the order of their nodes."""
    settings = (DEPLOY / "topologies" / topology / "cluster" / "synod.toml").read_text()
    return list(dict.fromkeys(member["region"] for member in tomllib.loads(settings)["member"]))


def render(topology, region):
    """The text that `kubectl apply -k` would send."""
    folder = DEPLOY / "topologies" / topology / region
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"kubectl kustomize {folder}: {done.stderr.strip()}")
    return done.stdout


def golden(topology, region):
    """Where the reviewed text of a rendered region lies."""
    return RENDERED / topology / f"{region}.yaml"


def restore_pod(index):
    """The pod that puts a backup onto the disk of the pod with this index, made as its first lines say."""
    return yaml.safe_load((DEPLOY / "restore" / "pod.yaml").read_text().replace("INDEX", str(index)))


@dataclass
class Region:
    """Everything of one Kubernetes cluster."""

    topology: str
    name: str
    objects: list

    @classmethod
    def load(cls, topology, name, text):
        return cls(topology, name, [item for item in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if item])

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def find(self, kind, name):
        found = [item for item in self.all(kind) if item["metadata"]["name"] == name]
        return found[0] if found else None

    def one(self, kind, name):
        found = self.find(kind, name)
        if found is None:
            raise LookupError(f"there is no {kind} {name}")
        return found

    @property
    def statefulset(self):
        return self.one("StatefulSet", "synod")

    @property
    def pod(self):
        return self.statefulset["spec"]["template"]["spec"]

    @property
    def container(self):
        (container,) = self.pod["containers"]
        return container

    @property
    def replicas(self):
        return self.statefulset["spec"]["replicas"]

    @property
    def settings_text(self):
        return self.one("ConfigMap", "synod-settings")["data"]["synod.toml"]

    @property
    def settings(self):
        return tomllib.loads(self.settings_text)

    @property
    def budget(self):
        return self.one("PodDisruptionBudget", "synod")["spec"]["maxUnavailable"]

    @property
    def partition(self):
        return self.statefulset["spec"]["updateStrategy"]["rollingUpdate"]["partition"]

    def pod_labels(self, index):
        """The labels of the pod with this index, with those that Kubernetes adds."""
        name = self.statefulset["metadata"]["name"]
        added = {
            "apps.kubernetes.io/pod-index": str(index),
            "statefulset.kubernetes.io/pod-name": f"{name}-{index}",
        }
        return self.statefulset["spec"]["template"]["metadata"]["labels"] | added

    def environment(self, index, extra_config_maps=None, container=None):
        """The container's variables in the pod with this index: references looked up, `$(NAME)` expanded."""
        maps = {item["metadata"]["name"]: item["data"] for item in self.all("ConfigMap")} | (extra_config_maps or {})
        values = {}
        for entry in (container or self.container)["env"]:
            name = entry["name"]
            if "value" in entry:
                values[name] = expand(entry["value"], values)
                continue
            source = entry["valueFrom"]
            if "configMapKeyRef" in source:
                reference = source["configMapKeyRef"]
                found = maps.get(reference["name"], {}).get(reference["key"])
                if found is not None:
                    values[name] = found
                elif not reference.get("optional"):
                    raise LookupError(f"{name} needs {reference['key']} of the ConfigMap {reference['name']}")
            else:
                path = source["fieldRef"]["fieldPath"]
                if not path.startswith("metadata.labels['"):
                    raise LookupError(f"{name} reads {path}, which is not understood here")
                values[name] = self.pod_labels(index)[path[len("metadata.labels['") : -2]]
        return values


def expand(text, values):
    """Replaces `$(NAME)` as the kubelet does: what is not known stays."""
    for name, value in values.items():
        text = text.replace(f"$({name})", value)
    return text


def load_all(texts):
    """Topology by topology, its regions; `texts` gives the text of one."""
    return {
        topology: [Region.load(topology, region, texts(topology, region)) for region in regions(topology)]
        for topology in topologies()
    }
