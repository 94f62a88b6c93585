#!/usr/bin/env python3
"""Judges every rendered object by the schema of every Kubernetes version that is supported."""

import sys
from pathlib import Path

import kubernetes_validate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "policy"))

import manifests

# `trafficDistribution` and the `sleep` of preStop are on by default from 1.30 on.
VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
# Kinds that other projects define; policy/ judges what we rely on in them.
FOREIGN = {"Certificate", "Issuer", "ServiceExport", "PodMonitor", "PrometheusRule"}


def refuses(version):
    """Whether the schemas of a version refuse a field that does not exist; if not, they prove nothing."""
    wrong = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "x"}, "spec": {"maxUnavailible": 1}}
    try:
        kubernetes_validate.validate(wrong, version, strict=True)
    except kubernetes_validate.ValidationError:
        return True
    return False


def main():
    if blind := [version for version in VERSIONS if not refuses(version)]:
        print(f"the schemas of {blind} accept a misspelt field", file=sys.stderr)
        return 1
    judged, faults, seen, foreign = 0, 0, set(), 0
    beside = [("restore", "pod.yaml", [manifests.restore_pod(0)])]
    for topology in manifests.topologies():
        for name in manifests.regions(topology):
            region = manifests.Region.load(topology, name, manifests.golden(topology, name).read_text())
            beside.append((topology, name, region.objects))
    for topology, name, objects in beside:
        for item in objects:
            if item["kind"] in FOREIGN:
                foreign += 1
                continue
            if str(item) in seen:
                continue
            seen.add(str(item))
            for version in VERSIONS:
                judged += 1
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    faults += 1
                    where = f"{topology}/{name} {item['kind']} {item['metadata']['name']}"
                    print(f"{where}, Kubernetes {version}: {error.message}", file=sys.stderr)
    print(
        f"schemas: {len(seen)} different objects by {len(VERSIONS)} versions ({VERSIONS[0]} to {VERSIONS[-1]}), "
        f"{judged} verdicts, {faults} faults; {foreign} objects of foreign kinds not judged"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
