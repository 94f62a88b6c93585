#!/usr/bin/env python3
"""Runs every rendered topology on this machine: one real node for each pod, as the manifests would start it.

    live.py --synod PATH [--only TOPOLOGY]

Founds the cluster, writes and reads through etcdctl, rolls every pod as the manifests allow, holds down as many as the
disruption budgets allow while no alert may fire, and shows that one set more is fatal. pod.py says what differs from a real cluster.
"""

import argparse
import os
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
        self.renew()
        self.stop(list(self.pods), drained=False)
        print(
            f"{self.topology}: {len(self.pods)} pods in {len(self.regions)} regions, first leader {leader}; "
            f"{len(load.written)} writes acknowledged and found, {load.retried} tries repeated, slowest {load.slowest:.1f} s; "
            f"{rounds} rounds of restarts in {rolled:.0f} s, held down {', '.join(held)}; no alert fired, {len(pending)} waited; "
            f"without {', '.join(fatal)} no write, as computed; "
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
