#!/usr/bin/env python3
"""Runs TLC on the model: instances that must hold, states that must be reachable, mutants that must die, traces.

    check.py --jar tla2tools.jar [--large] [--only NAME]
    check.py --jar tla2tools.jar --trace FILE... [--rejected FILE...]

Every .cfg begins with what it is; `Expect P` names the property that TLC must find violated, and without it nothing may
be. `Module M` names another module than the folder's usual one. TLC gets one worker, so that the numbers of states repeat, and as many instances run side by side as there are cores.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
KINDS = {"instances": ("holds", "Instance"), "reach": ("reached", "Instance"), "mutants": ("killed", "Mutants")}
LIMIT = 900


class Task:
    """One run of TLC: a configuration of a module, and what must come of it."""

    def __init__(self, name, module, config, folder, expect, word):
        self.name, self.module, self.config, self.folder = name, module, config, folder
        self.expect, self.word = expect, word

    def run(self, jar):
        begun = time.monotonic()
        # TLC looks for modules and configurations in one folder, and leaves files there.
        with tempfile.TemporaryDirectory(prefix="synod-tlc-") as scratch:
            for module in [*HERE.glob("*.tla"), *self.folder.glob("*.tla")]:
                shutil.copy(module, scratch)
            shutil.copy(self.config, pathlib.Path(scratch) / f"{self.module}.cfg")
            # It also unpacks its own modules into the place for temporary files, where another TLC may be reading them.
            command = ["java", f"-Djava.io.tmpdir={scratch}"]
            command += ["-XX:+UseParallelGC", "-XX:ParallelGCThreads=1", "-Xmx2g", "-Xss16m", "-cp", str(jar)]
            command += ["tlc2.TLC", "-workers", "1", "-fp", "0", "-terse", "-nowarning"]
            # A trace that the model cannot explain ends early, which TLC calls a deadlock; elsewhere an end is no harm.
            command += [self.module] if self.module == "Run" else ["-deadlock", self.module]
            try:
                done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, timeout=LIMIT)
                self.output = done.stdout + done.stderr
            except subprocess.TimeoutExpired:
                self.output = f"no end after {LIMIT} s"
        self.seconds = time.monotonic() - begun
        return self

    def verdict(self):
        """The violated property, "" if all hold, None if TLC did not come to an end."""
        violated = re.search(r"(?:Invariant|Action property|Temporal property) (\w+) is violated", self.output)
        if violated:
            return violated.group(1)
        if "Deadlock reached" in self.output:
            return "Explained"
        return "" if "No error has been found" in self.output else None

    def ok(self):
        return self.verdict() == self.expect

    def stopped(self):
        """The line of a trace that nothing explains."""
        at = re.findall(r"^/\\ at = (\d+)$", self.output, re.M)
        if self.module != "Run" or not at:
            return ""
        lines = re.findall(r"^ *(\[e \|-> .*?),?$", (self.folder / "Run.tla").read_text(), re.M)
        return f" at line {at[-1]}: {lines[int(at[-1]) - 1]}"

    def row(self):
        found = re.findall(r"(\d+) states generated, (\d+) distinct states found", self.output)
        generated, distinct = found[-1] if found else ("-", "-")
        verdict = self.verdict()
        if self.ok():
            what = f"{self.word} {verdict}".rstrip() + self.stopped()[:140] if verdict else self.word
        elif verdict is None:
            what = "TLC FAILED"
        elif verdict == "":
            what = f"SURVIVED, expected {self.expect}"
        else:
            what = f"VIOLATED {verdict}, expected {self.expect or 'none'}"
        return f"{self.name:<34}{generated:>12}{distinct:>12}{self.seconds:>8.1f}  {what}"


def configured(folder, large):
    """The tasks of one folder of configurations."""
    word, module = KINDS[folder]
    size = ("small", "large") if large else ("small",)
    for config in sorted((HERE / folder).rglob("*.cfg")):
        if folder == "instances" and config.parent.name not in size:
            continue
        said = dict(re.findall(r"^\\\* (Expect|Module) (\w+)", config.read_text(), re.M))
        name = str(config.relative_to(HERE).with_suffix(""))
        yield Task(name, said.get("Module", module), config, HERE, said.get("Expect", ""), word)


def traced(path, rejected, scratch):
    """The task of one trace: a module that `simulate trace` wrote, beside a configuration of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    shutil.copy(path, folder / "Run.tla")
    shutil.copy(HERE / "Trace.cfg", folder / "Run.cfg")
    expect, word = ("Explained", "rejected, not") if rejected else ("", "explained")
    return Task(f"trace {pathlib.Path(path).stem}", "Run", folder / "Run.cfg", folder, expect, word)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jar", required=True, type=pathlib.Path, help="tla2tools.jar")
    arguments.add_argument("--large", action="store_true", help="the large instances as well")
    arguments.add_argument("--only", help="what has this in its name")
    arguments.add_argument("--trace", nargs="+", default=[], metavar="FILE", help="traces that the model must explain")
    arguments.add_argument("--rejected", nargs="+", default=[], metavar="FILE", help="traces that it must not")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments.add_argument("--tell", action="store_true", help="print what TLC says of each")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="synod-traces-") as scratch:
        tasks = [traced(path, False, scratch) for path in options.trace]
        tasks += [traced(path, True, scratch) for path in options.rejected]
        if not tasks:
            tasks = [task for folder in KINDS for task in configured(folder, options.large)]
        tasks = [task for task in tasks if not options.only or options.only in task.name]
        return check(tasks, options)


def check(tasks, options):
    begun = time.monotonic()
    print(f"{'':<34}{'states':>12}{'distinct':>12}{'s':>8}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        done = []
        running = [pool.submit(task.run, options.jar.resolve()) for task in tasks]
        for ended in concurrent.futures.as_completed(running):
            task = ended.result()
            done.append(task)
            print(task.row(), flush=True)
            if options.tell:
                print(task.output)
    failed = [task for task in done if not task.ok()]
    for task in failed:
        print(f"\n{task.name}{task.stopped()}:\n{task.output[-3000:]}")
    print(f"{len(done) - len(failed)} of {len(done)} as expected, {time.monotonic() - begun:.0f} s")
    if not done:
        print("nothing was run")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
