#!/usr/bin/env python3
"""Runs every rendered topology on this machine: one real node for each pod, as the manifests would start it.

    live.py --synod PATH [--only TOPOLOGY]

Founds the cluster, writes and reads through etcdctl, rolls every pod as the manifests allow, holds down as many as the
disruption budgets allow while no alert may fire, shows that one set more is fatal, and takes back a pod whose disk is lost. pod.py says what differs from a real cluster.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "policy"))

import manifests
import pod as pods_module
from load import Load, etcdctl, get_prefix
from pod import Pod, wait_for
from quorums import Quorums, allowed
from watch import Watch


class Trial:
    """A topology while it runs."""

    def __init__(self, topology, folder, synod, network):
        self.topology, self.folder, self.synod = topology, folder, synod
        self.regions = [
            manifests.Region.load(topology, name, manifests.golden(topology, name).read_text())
            for name in manifests.regions(topology)
        ]
        self.quorums = Quorums(synod, self.regions[0].settings_text)
        at, names = pods_module.addresses_of(self.regions, network)
        secrets = pods_module.make_secrets(synod, folder, self.regions)
        self.pods = {}
        for region in self.regions:
            for index in range(region.replicas):
                pod = Pod(region, index, at[region.name, index], folder, synod)
                pod.root.mkdir()
                pod.root.chmod(0o755)
                pod.prepare(secrets[region.name], names)
                self.pods[pod.name] = pod
        self.checks = 0

    @property
    def endpoints(self):
        return [pod.endpoint for pod in self.pods.values()]

    def check(self, good, sentence):
        self.checks += 1
        if not good:
            raise AssertionError(f"{self.topology}: {sentence}")

    def stop(self, names, drained=True):
        """Stops pods at once, and waits for all of them; `drained` if others can lead and take their clients meanwhile."""
        for name in names:
            self.pods[name].terminate()
        # Each is told to stop as soon as it is drained, whoever else still is not.
        wait_for(f"{names} are drained", lambda: all([self.pods[name].said_farewell() for name in names]))
        for name in names:
            pod = self.pods[name]
            code = pod.wait()
            self.check(code == 0, f"{name} ended with {code}: {pod.last_words()}")
            self.check(pod.drained == 0 or not drained, f"{name} was not drained ({pod.drained}): {pod.last_words()}")

    def start(self, names):
        """Starts pods and waits until their probes succeed."""
        for name in names:
            self.pods[name].start()
        for name in names:
            pod = self.pods[name]
            wait_for(f"{name} is ready", lambda: pod.probe("readiness"))
            self.check(pod.probe("startup") and pod.probe("liveness"), f"{name} is ready but not live")

    def leader(self):
        """The name of the leader that the running nodes agree on."""

        def agreed():
            running = [pod for pod in self.pods.values() if pod.process]
            said = [status for status in (pod.status() for pod in running) if status]
            leaders = {status["leader"] for status in said}
            if len(said) == len(running) and len(leaders) == 1 and None not in leaders and all(s["healthy"] for s in said):
                number = leaders.pop()
                return next(m["name"] for m in self.quorums.members if m["node"] == number)
            return None

        return wait_for(f"{self.topology} agrees on a leader", agreed)

    def found(self):
        """Starts all pods for the first time."""
        refused = next(iter(self.pods.values()))
        refused.start()
        self.check(refused.wait() == 1, "a node without data started although nobody founds a cluster")
        for pod in self.pods.values():
            pod.start(founding=True)
        for name, pod in self.pods.items():
            wait_for(f"{name} is ready", lambda pod=pod: pod.probe("readiness"))
        leader = self.leader()
        for name, pod in self.pods.items():
            status = pod.status()
            self.check(status["name"] == name and status["region"] == pod.region.name, f"{name} calls itself {status['name']}")
            self.check(all(member["connected"] for member in status["members"]), f"{name} does not reach every peer")
        return leader

    def clients(self):
        """Writes at each node and reads at the next one."""
        ends = self.endpoints
        for number, endpoint in enumerate(ends):
            done, text = etcdctl([endpoint], "put", f"trial/{number}", topology_value(self.topology, number))
            self.check(done, f"a put at {endpoint} failed: {text}")
            found = get_prefix([ends[(number + 1) % len(ends)]], f"trial/{number}")
            self.check(found == {f"trial/{number}": topology_value(self.topology, number)}, f"read {found}")

    def roll(self):
        """Restarts every pod as rolling updates do: from the last one down, in all regions that have the turn at once;
        then the turn is passed on, region by region."""
        turn = [region for region in self.regions if region.partition < region.replicas]
        rounds = []
        for group in [turn, *([region] for region in self.regions if region not in turn)]:
            for step in range(max(region.replicas for region in group)):
                at_once = [r for r in group if r.replicas > step]
                rounds.append([f"{r.name}-{r.replicas - 1 - step}" for r in at_once])
        for names in rounds:
            self.stop(names)
            self.start(names)
            # A rolling update goes on when the pod is ready; evictions wait for nothing else either.
        return len(rounds)

    def hold_down(self):
        """Takes away what the budgets allow, the leader among it if they allow that, and writes meanwhile."""
        leader = self.leader()
        choices = list(allowed(self.quorums.members, {region.name: region.budget for region in self.regions}))
        names = sorted(next((choice for choice in choices if leader in choice), choices[0]))
        self.stop(names)
        done = wait_for("a write while pods are away", lambda: self.try_put("held-down", names))
        self.check(done, "no write while pods are away")
        self.start(names)
        return names

    def overdo(self):
        """Takes away a smallest set that is fatal to commits: then no write may succeed, and none may be lost later."""
        names = sorted(min(self.quorums.fatal["phase2"], key=lambda names: (len(names), sorted(names))))
        self.stop(names, drained=False)
        self.check(not self.try_put("fatal", names), f"a write succeeded without {names}")
        self.start(names)
        wait_for("a write when they are back", lambda: self.try_put("back", names))
        self.check(True, "")
        return names

    def try_put(self, key, without):
        ends = [pod.endpoint for name, pod in self.pods.items() if name not in without]
        return etcdctl(ends, "put", key, "x", timeout=3)[0]

    def stray_founding(self):
        """The founding ConfigMap, left in place, keeps a node from starting, loudly, and does not begin it anew."""
        pod = next(iter(self.pods.values()))
        self.stop([pod.name])
        pod.start(founding=True)
        self.check(pod.wait() == 1, "a node with data started as a founding member")
        self.start([pod.name])

    def commands(self, name):
        """Where `synod member` finds the others, as through `kubectl port-forward`."""
        return ",".join(f"{pod.address}:{pod.port('http')}" for pod in self.pods.values() if pod.name != name and pod.process)

    def operate(self, name, *arguments):
        """Runs a command as an operator does while one pod is away; its output."""
        line = [self.synod, *arguments, "--endpoint", self.commands(name)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
        self.check(done.returncode == 0, f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def begin_anew(self, name, document):
        """Gives a pod its document, starts it, takes the document away, and restarts it without."""
        pod = self.pods[name]
        pod.tell({document.name: document.read_text(), "somebody-else.toml": "for another pod"})
        self.start([name])
        # It learns from the others, by the log, who it is now.
        lives = lambda: {m["incarnation"] for m in pod.status().get("members", []) if m["name"] == name}
        wait_for(f"{name} knows its new life", lambda: lives() - {1})
        (life,) = lives()
        pod.tell({})
        self.stop([name])
        self.start([name])
        wait_for(
            f"{name} reaches every peer again",
            lambda: all(member["connected"] for member in pod.status().get("members", [{"connected": False}])),
        )
        return life

    def replace(self):
        """A pod loses its disk: it must not begin by itself, takes part again in a new life, and never in an old one."""
        name = list(self.pods)[-2]
        pod = self.pods[name]
        self.stop([name])
        pod.lose_disk()
        pod.start()
        self.check(pod.wait() == 1, f"{name} started without its disk")
        self.check(f"synod member replace {pod.number}" in pod.last_words(), f"{name} does not say what to do: {pod.last_words()}")
        document = self.folder / f"{name}.toml"
        self.operate(name, "member", "replace", name, "--out", str(document), "--patience", "90s")
        life = self.begin_anew(name, document)
        # Its earlier document does no harm while it has its data.
        pod.tell({document.name: document.read_text()})
        self.stop([name])
        self.start([name])
        pod.tell({})
        # It votes: with a set away that is not fatal as long as it is there, writes go on.
        down = self.spare(name)
        self.stop(down)
        wait_for(f"a write by {name} and others", lambda: self.try_put("replaced", down))
        self.start(down)
        return f"{name} lost its disk and is back in life {life}"

    def job(self, region, folder):
        """Runs the containers of the CronJob one after the other, as its pod would; what the last one says."""
        spec = region.one("CronJob", "synod-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        here = [pod for pod in self.pods.values() if pod.region is region and pod.probe("readiness")]
        self.check(here, f"no pod of {region.name} is ready behind the Service")
        words = {"/backups": str(folder), "synod.synod.svc:2379": here[0].endpoint}
        for container in spec["initContainers"] + spec["containers"]:
            line = [self.synod]
            for argument in container["args"]:
                for word, meaning in words.items():
                    argument = argument.replace(word, meaning)
                line.append(argument)
            done = subprocess.run(line, capture_output=True, text=True, check=False, env={}, timeout=120, **here[0].identity())
            self.check(done.returncode == 0, f"{container['name']}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def back_up(self):
        """Backups are made where there is a CronJob: of all that was written, readable, restorable, and not for ever."""
        region = next((region for region in self.regions if region.all("CronJob")), None)
        if not region:
            return ""
        folder = self.folder / "backups"
        folder.mkdir()
        first = next(iter(self.pods.values()))
        first.give(folder, 0o770)
        # A backup is its node's state: a read at each node sees to it that none is behind.
        here = [pod.endpoint for pod in self.pods.values() if pod.region is region]
        (keys,) = {len(get_prefix([endpoint], "")) for endpoint in here}
        facts = self.job(region, folder)
        self.check((facts["cluster"], facts["keys"]) == (region.settings["cluster"], keys), f"{keys} keys, of which it saved {facts}")
        (newest,) = folder.iterdir()
        # Names are by the second, and the next job begins in the same one.
        newest = newest.rename(folder / "backup-20200201T000000Z.snap")
        args = region.one("CronJob", "synod-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["initContainers"][0]["args"]
        keep = next(int(argument.removeprefix("--keep=")) for argument in args if argument.startswith("--keep="))
        for day in range(1, keep + 2):
            shutil.copy(newest, folder / f"backup-202001{day:02}T000000Z.snap")
        again = self.job(region, folder)
        self.check(again["slot"] >= facts["slot"], f"after slot {facts['slot']} it saved {again['slot']}")
        left = sorted(path.name for path in folder.iterdir())
        self.check(len(left) == keep and newest.name in left, f"of {keep} backups it keeps {left}")
        # A damaged one fails the job's second container.
        damaged = folder / left[-1]
        damaged.chmod(0o640)
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        status = subprocess.run([self.synod, "snapshot", "status", folder], capture_output=True, text=True, check=False)
        self.check(status.returncode == 1, "a damaged backup is taken for a good one")
        # Into a new cluster, every node from the same file, as the pod of restore/ does.
        for pod in self.pods.values():
            (container,) = manifests.restore_pod(pod.index)["spec"]["containers"]
            text = pod.translate(region.settings_text, {}).replace(f'cluster = "{region.settings["cluster"]}"', 'cluster = "restored"')
            settings, disk = self.folder / "restored.toml", self.folder / f"restored-{pod.name}"
            settings.write_text(text.replace(f"{pod.root}/var/lib/synod", str(disk)))
            environment = pod.region.environment(pod.index, container=container)
            words = {"/restore/backup.snap": str(newest), "/etc/synod/settings/synod.toml": str(settings)}
            line = [self.synod, *(manifests.expand(argument, environment) for argument in container["args"]), "--output=json"]
            for word, meaning in words.items():
                line = [argument.replace(word, meaning) for argument in line]
            done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
            self.check(done.returncode == 0 and json.loads(done.stdout)["keys"] == keys, f"restore: {done.stderr.strip()}")
            self.check((disk / "node" / "journal").is_dir(), f"{pod.name} was not restored to {disk}")
        return f"a backup of {keys} keys was read back and restored {len(self.pods)} times, and {keep} are kept; "

    def spare(self, name):
        """Followers that may be down as long as `name` is not, and that would be fatal together with it."""
        leader = self.leader()
        others = [pod.name for pod in self.pods.values() if pod.name not in (name, leader)]
        for size in range(1, len(others)):
            for down in itertools.combinations(others, size):
                if not self.quorums.lost(frozenset(down)) and self.quorums.lost(frozenset(down) | {name}):
                    return list(down)
        raise AssertionError(f"{name} never counts")

    def renew(self):
        """Renewed certificates are taken up by pods that run, and peers meet with them; half a renewal changes nothing."""
        ok, fail = ('synod_tls_renewals_total{result="%s"}' % result for result in ("ok", "fail"))
        secrets = pods_module.make_secrets(self.synod, self.folder, self.regions, again=True)
        first = next(iter(self.pods.values()))
        of_another = {name: dict(data) for name, data in secrets[first.region.name].items()}
        for data in of_another.values():
            for key in [name for name in data if name.endswith("key")]:
                data[key] = "no key\n"
        first.renew(of_another)
        wait_for(f"{first.name} refuses half a renewal", lambda: first.metric(fail) == 1)
        self.check(first.metric(ok) == 0 and first.probe("readiness"), f"{first.name} took half a renewal")
        for pod in self.pods.values():
            pod.renew(secrets[pod.region.name])
        for name, pod in self.pods.items():
            wait_for(f"{name} takes up its new certificate", lambda pod=pod: pod.metric(ok) == 1)
        # The restarted pod and its peers meet anew, each with its new certificate.
        last = list(self.pods)[-1]
        self.stop([last])
        self.start([last])
        wait_for(
            f"{last} reaches every peer",
            lambda: all(member["connected"] for member in self.pods[last].status().get("members", [{"connected": False}])),
        )

    def run(self):
        begin = time.monotonic()
        leader = self.found()
        self.clients()
        with Watch(list(self.pods.values()), self.folder) as watch, Load(self.endpoints) as load:
            began = time.monotonic()
            rounds = self.roll()
            rolled = time.monotonic() - began
            held = self.hold_down()
            pending, fired = watch.alerts("pending"), watch.alerts("firing")
        self.check(pending, "the monitoring noticed nothing at all")
        self.check(not fired, f"restarts as the budgets allow fire {fired}")
        self.check(not load.lost, f"writes were lost: {load.lost}")
        found = get_prefix(self.endpoints, "load/")
        self.check(found == load.written, f"{len(load.written)} writes were acknowledged, {len(found or {})} are there")
        fatal = self.overdo()
        self.stray_founding()
        replaced = self.replace()
        backed_up = self.back_up()
        self.renew()
        self.stop(list(self.pods), drained=False)
        print(
            f"{self.topology}: {len(self.pods)} pods in {len(self.regions)} regions, first leader {leader}; "
            f"{len(load.written)} writes acknowledged and found, {load.retried} tries repeated, slowest {load.slowest:.1f} s; "
            f"{rounds} rounds of restarts in {rolled:.0f} s, held down {', '.join(held)}; no alert fired, {len(pending)} waited; "
            f"without {', '.join(fatal)} no write, as computed; {replaced}; {backed_up}"
            f"{self.checks} checks in {time.monotonic() - begin:.0f} s",
            flush=True,
        )

    def kill(self):
        for pod in self.pods.values():
            if pod.process:
                pod.process.kill()
                pod.process.wait()


def topology_value(topology, number):
    return f"{topology} {number}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synod", required=True)
    parser.add_argument("--only", choices=manifests.topologies())
    parser.add_argument("--keep", action="store_true", help="keep the pods' folders and logs")
    arguments = parser.parse_args()
    failed = 0
    for topology in [arguments.only] if arguments.only else manifests.topologies():
        folder = Path(tempfile.mkdtemp(prefix=f"synod-{topology}-"))
        folder.chmod(0o755)
        synod = pods_module.readable_by_all(arguments.synod, folder)
        # Runs beside each other get networks of their own.
        trial = Trial(topology, folder, synod, 64 + os.getpid() % 128)
        try:
            trial.run()
        except (AssertionError, TimeoutError) as error:
            failed += 1
            print(f"{topology}: {error}\nThe logs are in {folder}/*/log", file=sys.stderr)
            arguments.keep = True
        finally:
            trial.kill()
            if not arguments.keep:
                pods_module.shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
