"""What a quorum system survives, as `synod quorum check` tells it."""

import itertools
import json
import subprocess
import tempfile


class Quorums:
    """The node sets whose loss is fatal to a phase. Asked of the program itself, which proves what it says."""

    def __init__(self, synod, settings_text):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(settings_text)
            file.flush()
            done = subprocess.run(
                [synod, "quorum", "check", file.name, "-o", "json"], capture_output=True, text=True, check=False
            )
        report = json.loads(done.stdout)
        if not report["valid"]:
            raise ValueError("; ".join(fault["reason"] for fault in report["faults"]))
        self.report = report
        self.members = report["members"]
        self.fatal = {}
        for phase in ("phase1", "phase2"):
            fatal = report["phases"][phase]["resilience"]["node"]["fatal"]
            if fatal is None:
                raise ValueError(f"{phase} has too many fatal sets to list")
            self.fatal[phase] = [frozenset(names) for names in fatal]

    def lost(self, down):
        """The phases that have no quorum left while these nodes are down."""
        return [phase for phase, fatal in self.fatal.items() if any(names <= down for names in fatal)]

    def worst(self, budgets):
        """A set of nodes that the budgets allow to be down at once and that is fatal, with the phases it ends."""
        for down in allowed(self.members, budgets):
            if lost := self.lost(down):
                return sorted(down), lost
        return None

    def maximal(self, limit=1):
        """Every way to give regions budgets of up to `limit` that is safe and cannot be raised."""
        names = sorted({member["region"] for member in self.members})
        safe = []
        for numbers in itertools.product(range(limit + 1), repeat=len(names)):
            if self.worst(dict(zip(names, numbers))) is None:
                safe.append(numbers)
        below = lambda a, b: a != b and all(x <= y for x, y in zip(a, b))
        return [dict(zip(names, a)) for a in safe if not any(below(a, b) for b in safe)]


def allowed(members, budgets):
    """Every largest set of nodes that may be down at once: the budget of each region used up."""
    choices = []
    for region, budget in budgets.items():
        here = [member["name"] for member in members if member["region"] == region]
        choices.append(list(itertools.combinations(here, min(budget, len(here)))))
    for pick in itertools.product(*choices):
        yield frozenset(itertools.chain.from_iterable(pick))
