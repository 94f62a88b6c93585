"""One pod of the rendered manifests, run on this machine.

A pod gets the arguments, the environment, the settings, the certificates and the user that the manifests give it. What
differs is only this:

* Its address is one of its own in 127.0.0.0/8, with the ports of the manifests: "0.0.0.0" in the settings becomes that
  address, and so does every name that peers dial.
* Its files lie below a folder of its own: the mount paths in settings and arguments get that folder in front.
* The command before stopping (preStop) is told that address; `minReadySeconds` is not waited for.
* ConfigMaps and Secrets that are made by hand are put into the pod's files by the test: `renew`, `tell`.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from manifests import expand

FOUNDING = {"synod-founding": {"bootstrap": "true"}}


def die_with_parent():
    """Runs in the child: if the test is killed, so is the node."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Pod:
    """A pod, its folder and, while it runs, its process."""

    def __init__(self, region, index, address, folder, synod):
        self.region, self.index, self.address, self.synod = region, index, address, synod
        self.root = folder / f"{region.name}-{index}"
        self.log = self.root / "log"
        self.process = self.farewell = None
        self.began = 0
        # How the last command before stopping ended.
        self.drained = None
        self.environment = region.environment(index)
        self.name = self.environment["SYNOD_NODE"]
        self.number = next(m["node"] for m in region.settings["member"] if m["name"] == self.name)
        context = region.pod["securityContext"]
        # Without root there is no other user to be.
        self.user = (context["runAsUser"], context["runAsGroup"]) if os.geteuid() == 0 else None

    def http(self, path, timeout=3):
        """The status and the text of a page."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.port('http')}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def port(self, name):
        return next(port["containerPort"] for port in self.region.container["ports"] if port["name"] == name)

    @property
    def endpoint(self):
        return f"{self.address}:{self.port('clients')}"

    def probe(self, which):
        """Whether a probe of the manifests succeeds."""
        spec = self.region.container[f"{which}Probe"]
        return self.http(spec["httpGet"]["path"], spec["timeoutSeconds"])[0] == 200

    def prepare(self, secrets, addresses):
        """Fills the pod's files; `secrets` has the content of every Secret, `addresses` an address for every name."""
        volumes = {volume["name"]: volume for volume in self.region.pod["volumes"]}
        for mount in self.region.container["volumeMounts"]:
            path = self.root / mount["mountPath"].lstrip("/")
            volume = volumes.get(mount["name"])
            if volume is None or "emptyDir" in volume:
                path.mkdir(parents=True, exist_ok=True)
                self.give(path, 0o770)
                continue
            files = self.content(volume, secrets, addresses)
            inside = mount.get("subPath") or expand(mount.get("subPathExpr", ""), self.environment)
            if inside:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(files[inside])
                self.give(path, 0o440)
            else:
                path.mkdir(parents=True, exist_ok=True)
                for name, text in files.items():
                    (path / name).write_text(text)
                    self.give(path / name, 0o440)

    def renew(self, secrets):
        """Replaces the files that come from Secrets, as the kubelet does some time after a Secret was changed."""
        volumes = {volume["name"]: volume for volume in self.region.pod["volumes"]}
        for mount in self.region.container["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            if "secret" not in volume and "projected" not in volume:
                continue
            if mount.get("subPath") or mount.get("subPathExpr"):
                continue
            for name, text in self.content(volume, secrets, {}).items():
                path = self.root / mount["mountPath"].lstrip("/") / name
                fresh = path.with_name(path.name + ".new")
                fresh.write_text(text)
                self.give(fresh, 0o440)
                fresh.rename(path)

    def tell(self, documents):
        """What the kubelet does some time after the ConfigMap `synod-join` was made, or, with nothing, deleted."""
        folder = Path(self.inside(self.environment["SYNOD_JOIN"]))
        for path in folder.iterdir():
            path.unlink()
        for name, text in documents.items():
            (folder / name).write_text(text)
            self.give(folder / name, 0o440)

    def lose_disk(self):
        """The claim is deleted, and another, empty one is bound."""
        (claim,) = self.region.statefulset["spec"]["volumeClaimTemplates"]
        (mount,) = [m for m in self.region.container["volumeMounts"] if m["name"] == claim["metadata"]["name"]]
        path = self.root / mount["mountPath"].lstrip("/")
        shutil.rmtree(path)
        path.mkdir()
        self.give(path, 0o770)

    def metric(self, series):
        """The value of a series at /metrics; nothing while there is none."""
        lines = self.http("/metrics")[1].splitlines()
        return next((float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(series + " ")), None)

    def content(self, volume, secrets, addresses):
        """The files of a volume, by name."""
        if "configMap" in volume:
            if volume["configMap"].get("optional") and not self.region.find("ConfigMap", volume["configMap"]["name"]):
                return {}
            data = self.region.one("ConfigMap", volume["configMap"]["name"])["data"]
            return {name: self.translate(text, addresses) for name, text in data.items()}
        if "secret" in volume:
            return secrets[volume["secret"]["secretName"]]
        files = {}
        for source in volume["projected"]["sources"]:
            secret = source["secret"]
            for item in secret["items"]:
                files[item["path"]] = secrets[secret["name"]][item["key"]]
        return files

    def translate(self, text, addresses):
        """The substitutions that this file's first lines tell."""
        for name, address in addresses.items():
            text = text.replace(f'"{name}:', f'"{address}:')
        text = text.replace('"0.0.0.0:', f'"{self.address}:')
        return self.below(text)

    def below(self, text):
        for mount in sorted({mount["mountPath"] for mount in self.region.container["volumeMounts"]}, key=len):
            text = text.replace(f'"{mount}', f'"{self.root}{mount}').replace(f"={mount}", f"={self.root}{mount}")
        return text

    def give(self, path, mode):
        if self.user:
            os.chown(path, *self.user)
        os.chmod(path, mode)

    def start(self, founding=False):
        """Starts the container; with `founding`, while the ConfigMap that founds a cluster is there."""
        environment = self.region.environment(self.index, FOUNDING if founding else {})
        environment = {name: self.inside(value) for name, value in environment.items()}
        arguments = [self.below(argument) for argument in self.region.container["args"]]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.synod, *arguments],
                env=environment,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
                **self.identity(),
            )

    def identity(self):
        return {"user": self.user[0], "group": self.user[1], "extra_groups": []} if self.user else {}

    def inside(self, path):
        """A path in the container as one on this machine; what is no such path stays."""
        mounts = [mount["mountPath"] for mount in self.region.container["volumeMounts"]]
        return f"{self.root}{path}" if any(path == mount or path.startswith(mount + "/") for mount in mounts) else path

    def terminate(self):
        """Begins to stop the pod, as the kubelet does: first with the command of the manifests."""
        if not self.process:
            return
        program, *arguments = self.region.container["lifecycle"]["preStop"]["exec"]["command"]
        assert program == "/usr/bin/synod", program
        environment = self.region.environment(self.index) | {"SYNOD_ENDPOINT": f"{self.address}:{self.port('http')}"}
        self.began = time.monotonic()
        with self.log.open("ab") as log:
            self.farewell = subprocess.Popen(
                [self.synod, *arguments], env=environment, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=die_with_parent, **self.identity(),
            )

    def said_farewell(self):
        """Whether the command before stopping has ended, or there is none; then the node is told to stop."""
        if not self.farewell:
            return True
        over = time.monotonic() - self.began > self.region.pod["terminationGracePeriodSeconds"]
        self.drained = self.farewell.poll()
        if self.drained is None and not over:
            return False
        self.farewell.kill()
        self.farewell.wait()
        self.farewell = None
        self.process.terminate()
        return True

    def wait(self):
        """The exit code; a pod that takes longer than its grace period is killed, and that is a fault."""
        if not self.process:
            return 0
        while not self.said_farewell():
            time.sleep(0.05)
        grace = self.region.pod["terminationGracePeriodSeconds"]
        left = grace - (time.monotonic() - self.began) if self.began else grace
        try:
            code = self.process.wait(max(left, 0.1))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "still running after the grace period"
        self.process, self.began = None, 0
        return code

    def status(self):
        """What the node says about itself; nothing while it does not answer."""
        code, text = self.http("/v1/status")
        return json.loads(text) if code == 200 else {}

    def last_words(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-5:]) if self.log.exists() else ""


def wait_for(what, condition, seconds=90):
    """Polls until the condition holds; gives up with a sentence."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds} s")


def make_secrets(synod, folder, regions, again=False):
    """What operators and cert-manager would put into Secrets, for each region, made by `synod certs`; `again` renews it under
    the same authority."""
    settings = regions[0].settings
    cluster, authority = settings["cluster"], folder / "authority"

    def certs(*arguments):
        done = subprocess.run([synod, "certs", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"synod certs {' '.join(arguments)}: {done.stderr.strip()}")

    if not again:
        certs("ca", "--dir", str(authority), "--cluster", cluster)
    force = ["--force"] if again else []
    ca = (authority / "ca.pem").read_text()

    def pair(number, region):
        certs("node", "--dir", str(authority), "--cluster", cluster, "--node", str(number), "--region", region, *force)
        return [(authority / f"node-{number}.{ending}").read_text() for ending in ("pem", "key")]

    secrets = {}
    for region in regions:
        own = secrets[region.name] = {}
        if certificates := region.all("Certificate"):
            for certificate in certificates:
                (uri,) = certificate["spec"]["uris"]
                # spiffe://<cluster>/region/<region>/node/<number>
                _, _, uri_cluster, _, uri_region, _, number = uri.split("/")
                assert uri_cluster == cluster, uri
                pem, key = pair(number, uri_region)
                own[certificate["spec"]["secretName"]] = {"ca.crt": ca, "tls.crt": pem, "tls.key": key}
        else:
            own["synod-certificates"] = {"ca.pem": ca}
            for member in settings["member"]:
                if member["region"] == region.name:
                    pem, key = pair(member["node"], region.name)
                    index = member["name"].rsplit("-", 1)[1]
                    own["synod-certificates"] |= {f"node-{index}.pem": pem, f"node-{index}.key": key}
    return secrets


def addresses_of(regions, network):
    """A loopback address for every pod, by region and index, and by the name peers dial."""
    pods, names = {}, {}
    for number, region in enumerate(regions):
        here = [member for member in tomllib.loads(region.settings_text)["member"] if member["region"] == region.name]
        for index, member in enumerate(here):
            address = f"127.{network}.{number + 1}.{index + 1}"
            pods[region.name, index] = address
            names[member["address"].rsplit(":", 1)[0]] = address
    return pods, names


def readable_by_all(synod, folder):
    """The program under a path that another user may follow: a link if that is possible, for it is large."""
    path = folder / "synod"
    try:
        os.link(synod, path)
    except OSError:
        shutil.copy2(synod, path)
    return str(path)
