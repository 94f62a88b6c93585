#!/usr/bin/env python3
"""Judges what the kustomizations render to: across objects, across regions, and against the quorum system.

    policy/check.py --synod PATH            compare with rendered/, then apply every rule to every topology
    policy/check.py --synod PATH --mutants  break the manifests in every way of mutants.py: each must be noticed
    policy/check.py --write                 write rendered/ anew (look at the difference before you commit it)
    policy/check.py --synod PATH --budgets  print which regions may have the turn at the same time
"""

import argparse
import sys

import compose
import manifests
import mutants
import naive
import rules
from quorums import Quorums


def compare(texts):
    """Sentences about goldens that are not what is rendered."""
    expected = set()
    for (topology, region), text in texts.items():
        path = manifests.golden(topology, region)
        expected.add(path)
        if not path.exists() or path.read_text() != text:
            yield f"{path.relative_to(manifests.DEPLOY)} is not what is rendered; see --write"
    for path in manifests.RENDERED.glob("*/*"):
        if path not in expected:
            yield f"{path.relative_to(manifests.DEPLOY)} belongs to no topology"


def judge(clusters, synod):
    """Every fault as (rule, where, sentence), and how often a rule was applied."""
    faults, applied = [], 0
    for topology, regions in clusters.items():
        quorums = Quorums(synod, regions[0].settings_text)
        if [set(quorums.fatal[phase]) for phase in ("phase1", "phase2")] != naive.fatal_sets(regions[0].settings):
            faults.append(("quorums", topology, "synod quorum check and a naive count differ about fatal losses"))
        for rule in rules.TOPOLOGY_RULES:
            applied += 1
            faults += [(rule.__name__, topology, fault) for fault in rule(regions, quorums)]
        for region in regions:
            for rule in rules.REGION_RULES:
                applied += 1
                faults += [(rule.__name__, f"{topology}/{region.name}", fault) for fault in rule(region)]
    return faults, applied


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", help="the program, which knows what quorum systems survive")
    for flag in ("--mutants", "--write", "--budgets"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    texts = {(t, r): manifests.render(t, r) for t in manifests.topologies() for r in manifests.regions(t)}
    if arguments.write:
        for (topology, region), text in texts.items():
            path = manifests.golden(topology, region)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        print(f"wrote {len(texts)} files to {manifests.RENDERED}")
        return 0
    if not arguments.synod:
        parser.error("--synod is needed")
    clusters = manifests.load_all(lambda topology, region: texts[topology, region])
    if arguments.budgets:
        for topology, regions in clusters.items():
            for budgets in Quorums(arguments.synod, regions[0].settings_text).maximal():
                print(f"{topology}: the turn may be at once in {', '.join(r for r, b in budgets.items() if b) or 'none'}")
        return 0
    if arguments.mutants:
        return mutants.hunt(clusters, lambda broken: judge(broken, arguments.synod)[0])
    faults = list(compare(texts))
    found, applied = judge(clusters, arguments.synod)
    faults += [f"{where}: {rule}: {fault}" for rule, where, fault in found]
    faults += [f"compose: {fault}" for fault in compose.faults(arguments.synod)]
    for fault in faults:
        print(fault, file=sys.stderr)
    count = len(rules.REGION_RULES) + len(rules.TOPOLOGY_RULES)
    objects = sum(len(region.objects) for regions in clusters.values() for region in regions)
    print(
        f"policy: {len(manifests.topologies())} topologies, {len(texts)} regions, {objects} objects, {count} rules, "
        f"applied {applied} times, and the compose file: {len(faults)} faults"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
