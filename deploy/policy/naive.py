"""Which losses are fatal, counted the slow way from the words of the settings: a second opinion on `synod quorum check`."""

import itertools
import re


def quorum_tests(settings):
    """For each phase, a function that says whether a set of names is a quorum."""
    members = settings["member"]
    groups = {}
    for member in members:
        groups.setdefault(member["region"], set()).add(member["name"])
        if member.get("zone", member["region"]) != member["region"]:
            raise ValueError("members with zones of their own are not counted here")
    rows = list(groups.values())
    system = settings["system"]
    if system == "majority":
        half = len(members) // 2 + 1
        return [lambda up: len(up) >= half] * 2
    if found := re.fullmatch(r"counts (\d+)/(\d+)", system):
        return [lambda up, n=int(n): len(up) >= n for n in found.groups()]
    if found := re.fullmatch(r"zones (\d+)x(\d+)/(\d+)x(\d+)", system):
        a, b, c, d = map(int, found.groups())
        full = lambda zones, each: lambda up: sum(len(row & up) >= each for row in rows) >= zones
        return [full(a, b), full(c, d)]
    if found := re.fullmatch(r"grid regions (each-row|rows)/(each-row|rows)", system):
        kinds = {"each-row": lambda up: all(row & up for row in rows), "rows": lambda up: any(row <= up for row in rows)}
        return [kinds[kind] for kind in found.groups()]
    raise ValueError(f"{system!r} is not counted here")


def fatal_sets(settings):
    """For each phase, the smallest sets of names (none within another) without which there is no quorum."""
    names = {member["name"] for member in settings["member"]}
    result = []
    for is_quorum in quorum_tests(settings):
        fatal = []
        for size in range(len(names) + 1):
            for down in map(frozenset, itertools.combinations(sorted(names), size)):
                if not any(known <= down for known in fatal) and not is_quorum(names - down):
                    fatal.append(down)
        result.append(set(fatal))
    return result
