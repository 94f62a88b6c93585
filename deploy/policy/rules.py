"""The rules. Each takes what it judges and yields sentences about what is wrong."""

import re

from manifests import expand, restore_pod

# How long the program itself takes to stop at most: handing over, clients, the core, the peers and what is left get 2 s each.
STOP_SECONDS = 10
# What must be left of the grace period when all of that took as long as it may.
GRACE_SPARE_SECONDS = 15
# After so long the newest backup is too old (the alert SynodBackupStale; dashboards/source/alerts.toml).
BACKUP_HOURS = 26
# After so long a silence of its main loop a node calls itself dead (/livez).
WATCHDOG_SECONDS = 30

# What operators bring themselves; deploy/README.md says how.
BROUGHT = {("Secret", "synod-certificates"), ("ConfigMap", "synod-founding"), ("ConfigMap", "synod-join")}

REGION_RULES, TOPOLOGY_RULES = [], []


def of_region(rule):
    REGION_RULES.append(rule)
    return rule


def of_topology(rule):
    TOPOLOGY_RULES.append(rule)
    return rule


def members(region):
    return [member for member in region.settings["member"] if member["region"] == region.name]


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def container_ports(region):
    return {port["name"]: port for port in region.container["ports"]}


@of_topology
def pods_are_the_members(regions, _quorums):
    """The pods of all regions are the members of the settings: none more, none less, each under its own name."""
    names = [member["name"] for member in regions[0].settings["member"]]
    pods = [region.environment(index)["SYNOD_NODE"] for region in regions for index in range(region.replicas)]
    if sorted(names) != sorted(pods):
        yield f"the members are {sorted(names)}, the pods would be {sorted(pods)}"
    for region in regions:
        said = region.one("ConfigMap", "synod-region")["data"]["region"]
        if said != region.name:
            yield f"{region.name}: the ConfigMap synod-region says {said}"


@of_topology
def regions_agree(regions, _quorums):
    """Every region has the same settings and runs the same image."""
    for what, of in (("settings", lambda r: r.settings_text), ("image", lambda r: r.container["image"])):
        if len({of(region) for region in regions}) != 1:
            yield f"the regions differ in their {what}"


@of_topology
def budgets_keep_quorums(regions, quorums):
    """With every budget of every region used up at once, both phases still have a quorum."""
    budgets = {region.name: region.budget for region in regions}
    if not all(isinstance(budget, int) for budget in budgets.values()):
        yield f"budgets are numbers of pods, not {budgets}"
    elif worst := quorums.worst(budgets):
        yield f"budgets {budgets} let {worst[0]} be evicted at once, which ends {' and '.join(worst[1])}"
    elif not any(budgets.values()):
        yield "no region has the turn: no machine could ever be drained"


@of_topology
def rollouts_keep_quorums(regions, quorums):
    """Rolling updates do not ask disruption budgets: they move one pod in every region whose partition lets them."""
    moving = {region.name: int(region.partition < region.replicas) for region in regions}
    if worst := quorums.worst(moving):
        yield f"rolling updates of {moving} stop {worst[0]} at once, which ends {' and '.join(worst[1])}"
    for region in regions:
        if bool(region.budget) != bool(moving[region.name]):
            yield f"{region.name}: budget {region.budget} and partition {region.partition} disagree about the turn"


@of_region
def addresses_are_published(region):
    """Every name that peers dial is one that the manifests of the region it lies in give to the right pod."""
    headless = region.one("Service", region.statefulset["spec"]["serviceName"])
    namespace = region.statefulset["metadata"]["namespace"]
    hostname = "external-dns.alpha.kubernetes.io/hostname"
    for index, member in enumerate(members(region)):
        pod = f"synod-{index}"
        published = set()
        if region.find("ServiceExport", headless["metadata"]["name"]):
            published.add(f"{pod}.{region.name}.{headless['metadata']['name']}.{namespace}.svc.clusterset.local")
        if domain := headless["metadata"].get("annotations", {}).get(hostname):
            published.add(f"{pod}.{domain}")
        for service in region.all("Service"):
            selector = service["spec"]["selector"]
            if selector.get("statefulset.kubernetes.io/pod-name") == pod and "type" in service["spec"]:
                published.add(service["metadata"].get("annotations", {}).get(hostname))
        host = member["address"].rsplit(":", 1)[0]
        if host not in published:
            yield f"{member['name']} is dialled as {host}, but the manifests publish {sorted(filter(None, published))}"
    if not headless["spec"].get("publishNotReadyAddresses"):
        yield "peers could not reach a node that is not ready, which then never becomes ready"


@of_region
def ports_agree(region):
    """Settings, container, Services and members name the same ports, each with its protocol."""
    ports = container_ports(region)
    protocols = {"peers": "UDP", "clients": "TCP", "http": "TCP"}
    for name, address in region.settings["listen"].items():
        port = ports.get(name, {})
        if (port.get("containerPort"), port.get("protocol")) != (port_of(address), protocols[name]):
            yield f"listen.{name} is {address}, the container's port is {port}"
        if not address.startswith(("0.0.0.0:", "[::]:")):
            yield f"listen.{name} is {address}, which nobody outside the pod reaches"
    for service in region.all("Service"):
        for port in service["spec"]["ports"]:
            target = ports.get(port["targetPort"], {})
            if (target.get("containerPort"), target.get("protocol")) != (port["port"], port["protocol"]):
                yield f"Service {service['metadata']['name']}: {port['name']} leads to {target or 'no port'}"
    for member in members(region):
        if port_of(member["address"]) != ports["peers"]["containerPort"]:
            yield f"{member['name']} is dialled at {member['address']}, peers listen on {ports['peers']['containerPort']}"


@of_region
def network_policy_is_exact(region):
    """The policy admits the three ports, each from whom it is for, and lets out peers and DNS: nothing else."""
    if region.pod.get("hostNetwork"):
        if region.all("NetworkPolicy"):
            yield "a NetworkPolicy does not apply to the host's network and only looks as if it protected"
        return
    policy = region.one("NetworkPolicy", "synod")["spec"]
    if sorted(policy["policyTypes"]) != ["Egress", "Ingress"]:
        yield f"only {policy['policyTypes']} are closed"
    ports = {(port["containerPort"], port["protocol"]) for port in region.container["ports"]}
    opened = [(port["port"], port["protocol"]) for rule in policy["ingress"] for port in rule.get("ports", [])]
    if sorted(opened) != sorted(ports):
        yield f"ingress opens {sorted(opened)}, the container listens on {sorted(ports)}"
    peers = (container_ports(region)["peers"]["containerPort"], "UDP")
    out = {(port["port"], port["protocol"]) for rule in policy["egress"] for port in rule.get("ports", [])}
    if out != {peers, (53, "UDP"), (53, "TCP")}:
        yield f"egress opens {sorted(out)}"
    for rule in policy["ingress"] + policy["egress"]:
        if not rule.get("ports") or not (rule.get("from") or rule.get("to")):
            yield f"a rule without ports or without peers is open to all: {rule}"
    blocks = lambda rules, way: {entry["ipBlock"]["cidr"] for entry in rules[0][way] if "ipBlock" in entry}
    into, towards = blocks(policy["ingress"], "from"), blocks(policy["egress"], "to")
    if into != towards or not into:
        yield f"peers may come from {sorted(into)} but be sent to {sorted(towards)}"


@of_region
def probes_differ(region):
    """Starting, living and being ready are three questions."""
    container = region.container
    startup, liveness, readiness = (container[f"{name}Probe"] for name in ("startup", "liveness", "readiness"))
    path = lambda probe: probe["httpGet"]["path"]
    if (path(startup), path(liveness), path(readiness)) != ("/livez", "/livez", "/readyz"):
        yield f"the probes ask {path(startup)}, {path(liveness)}, {path(readiness)}"
    if any(probe["httpGet"]["port"] != "http" for probe in (startup, liveness, readiness)):
        yield "a probe does not ask the port http"
    seconds = lambda probe: probe["periodSeconds"] * probe["failureThreshold"]
    if not seconds(readiness) < seconds(liveness) < seconds(startup):
        yield f"patience: ready {seconds(readiness)} s, live {seconds(liveness)} s, start {seconds(startup)} s"
    if seconds(liveness) <= WATCHDOG_SECONDS:
        yield f"a pod is restarted after {seconds(liveness)} s; its own watchdog waits {WATCHDOG_SECONDS} s"


@of_region
def grace_suffices(region):
    """Stopping in order fits into the grace period, with time to spare."""
    program, command, *options = region.container["lifecycle"]["preStop"].get("exec", {}).get("command", ["", ""])
    if (program, command) != ("/usr/bin/synod", "drain"):
        yield f"before it stops, a pod runs {program or 'nothing'} {command}: its clients are not sent elsewhere"
        return
    told = {name: float(value.removesuffix("s")) for name, value in (option.split("=") for option in options)}
    linger, timeout = told["--linger"], told["--timeout"]
    if not 0 < linger <= timeout / 2:
        yield f"of {timeout:.0f} s for draining, {linger:.0f} s are for the news alone"
    needed = timeout + STOP_SECONDS + GRACE_SPARE_SECONDS
    grace = region.pod["terminationGracePeriodSeconds"]
    if grace < needed:
        yield f"the grace period is {grace} s; {needed:.0f} s are needed"


def mounted(region, index):
    """Paths in the container of this pod, each with the volume and the path in it."""
    environment = region.environment(index)
    for mount in region.container["volumeMounts"]:
        inside = mount.get("subPath") or expand(mount.get("subPathExpr", ""), environment)
        yield mount["mountPath"], mount["name"], inside


@of_region
def certificates_fit(region):
    """Every pod finds its own certificate where its settings look, and what cert-manager issues is its identity."""
    settings, issued = region.settings, {}
    for certificate in region.all("Certificate"):
        spec = certificate["spec"]
        issued[spec["secretName"]] = (spec.get("dnsNames"), spec.get("uris"))
        if {"server auth", "client auth"} - set(spec["usages"]):
            yield f"Certificate {certificate['metadata']['name']}: nodes both dial and are dialled"
    volumes = {volume["name"]: volume for volume in region.pod["volumes"]}
    for index, member in enumerate(members(region)):
        environment = region.environment(index)
        found = {path: (volumes.get(volume), inside) for path, volume, inside in mounted(region, index)}
        for key in ("authority", "certificate", "key"):
            path = environment.get(f"SYNOD_CERTIFICATES_{key.upper()}", settings["certificates"].get(key, ""))
            folder, _, inside = path.rpartition("/")
            volume, below = found.get(folder, (None, None))
            if volume is None:
                yield f"{member['name']}: certificates.{key} is {path}, where nothing is mounted"
                continue
            if below:
                yield f"{member['name']}: {folder} is a part of a volume, which is not renewed while the pod runs"
            if "secret" in volume and key != "authority" and not inside.startswith(f"node-{index}."):
                yield f"{member['name']}: {path} would be {inside} of the Secret"
            if "projected" not in volume:
                continue
            sources = [source["secret"] for source in volume["projected"]["sources"]]
            named = [s["name"] for s in sources if any(item["path"] == inside for item in s["items"])]
            if key == "authority":
                # Any pod's certificate comes with it.
                if len(named) != 1:
                    yield f"{member['name']}: {path} comes from {named}"
                continue
            number, cluster = member["node"], settings["cluster"]
            wanted = (
                [f"node-{number}.{cluster}.synod"],
                [f"spiffe://{cluster}/region/{region.name}/node/{number}"],
            )
            if len(named) != 1 or issued.get(named[0]) != wanted:
                yield f"{member['name']}: {path} comes from {named}, issued for {issued.get(*named[:1], None)}"


@of_region
def nothing_is_latest(region):
    """An image is named by a version or a digest."""
    image = region.container["image"]
    if not re.search(r"(:[^/:]+|@sha256:[0-9a-f]{64})$", image) or image.endswith(":latest"):
        yield f"the image is {image}"


@of_region
def pod_security_is_restricted(region):
    """What the standard "restricted" asks for, and a read-only root. Only the host's network is an exception, declared."""
    pod, container = region.pod, region.container
    level = region.one("Namespace", "synod")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    if level != ("privileged" if pod.get("hostNetwork") else "restricted"):
        yield f"the namespace enforces {level}"
    outer, inner = pod.get("securityContext", {}), container.get("securityContext", {})
    for what, good in (
        ("runAsNonRoot", outer.get("runAsNonRoot") is True),
        ("runAsUser", outer.get("runAsUser", 0) > 0),
        ("seccompProfile", outer.get("seccompProfile", {}).get("type") == "RuntimeDefault"),
        ("allowPrivilegeEscalation", inner.get("allowPrivilegeEscalation") is False),
        ("readOnlyRootFilesystem", inner.get("readOnlyRootFilesystem") is True),
        ("capabilities", inner.get("capabilities") == {"drop": ["ALL"]}),
        ("hostPID", not pod.get("hostPID") and not pod.get("hostIPC")),
        ("volumes", not any("hostPath" in volume for volume in pod["volumes"])),
        ("automountServiceAccountToken", pod.get("automountServiceAccountToken") is False),
    ):
        if not good:
            yield f"{what} is not restricted"


@of_region
def selectors_match(region):
    """Every selector selects the pods it is meant for."""
    every = [region.pod_labels(index) for index in range(region.replicas)]
    matches = lambda selector: [all(pod.get(k) == v for k, v in selector.items()) for pod in every]
    spec = region.statefulset["spec"]
    for what, selector in (
        ("StatefulSet", spec["selector"]["matchLabels"]),
        ("PodDisruptionBudget", region.one("PodDisruptionBudget", "synod")["spec"]["selector"]["matchLabels"]),
        *((f"NetworkPolicy {p['metadata']['name']}", p["spec"]["podSelector"]["matchLabels"])
          for p in region.all("NetworkPolicy")),
        *((f"spread over {c['topologyKey']}", c["labelSelector"]["matchLabels"])
          for c in region.pod["topologySpreadConstraints"]),
        *((f"{m['kind']} {m['metadata']['name']}", m["spec"]["selector"]["matchLabels"])
          for m in region.all("PodMonitor")),
    ):
        if not all(matches(selector)):
            yield f"{what} selects {matches(selector).count(True)} of {len(every)} pods"
    for service in region.all("Service"):
        single = "statefulset.kubernetes.io/pod-name" in service["spec"]["selector"]
        count = matches(service["spec"]["selector"]).count(True)
        # A Service of a pod that a smaller region does not have selects nothing.
        if count not in ((0, 1) if single else (len(every),)):
            yield f"Service {service['metadata']['name']} selects {count} of {len(every)} pods"


@of_region
def founding_is_by_hand(region):
    """Nothing that is applied again and again may let a node begin anew: its disk may be lost, and its promises."""
    if region.find("ConfigMap", "synod-founding"):
        yield "the ConfigMap synod-founding is rendered"
    if any("bootstrap" in argument for argument in region.container["args"]):
        yield "--bootstrap stands among the arguments"
    for index in range(region.replicas):
        if "SYNOD_BOOTSTRAP" in region.environment(index):
            yield "SYNOD_BOOTSTRAP is set"


@of_region
def joining_is_by_hand(region):
    """Every pod finds a document that is meant for it alone where it looks, and none is applied again and again: a disk that is
    lost once more would begin the same life a second time."""
    if region.find("ConfigMap", "synod-join"):
        yield "the ConfigMap synod-join is rendered"
    volumes = {volume["name"]: volume for volume in region.pod["volumes"]}
    source = {path: (volumes.get(volume, {}), inside) for path, volume, inside in mounted(region, 0)}
    for index in range(region.replicas):
        folder = region.environment(index).get("SYNOD_JOIN", "")
        volume, inside = source.get(folder, ({}, ""))
        if inside:
            yield f"{folder} is a part of a volume, which is not renewed while a pod waits for it"
        if volume.get("configMap") != {"name": "synod-join", "optional": True}:
            yield f"SYNOD_JOIN is {folder!r}, where no optional ConfigMap synod-join is mounted"


@of_region
def disks_outlive_pods(region):
    """Claims and volumes are kept, and one pod at a time writes to them."""
    spec = region.statefulset["spec"]
    if set(spec["persistentVolumeClaimRetentionPolicy"].values()) != {"Retain"}:
        yield f"claims are not retained: {spec['persistentVolumeClaimRetentionPolicy']}"
    (claim,) = spec["volumeClaimTemplates"]
    if claim["spec"]["accessModes"] != ["ReadWriteOncePod"]:
        yield f"the access mode is {claim['spec']['accessModes']}"
    for storage in region.all("StorageClass"):
        if (storage["reclaimPolicy"], storage["volumeBindingMode"]) != ("Retain", "WaitForFirstConsumer"):
            yield f"StorageClass {storage['metadata']['name']}: {storage['reclaimPolicy']}, {storage['volumeBindingMode']}"
    mounts = {name: path for path, name, _ in mounted(region, 0)}
    if not region.settings["data_dir"].startswith(mounts[claim["metadata"]["name"]] + "/"):
        yield f"data_dir {region.settings['data_dir']} is not on the claim, which is at {mounts['data']}"


@of_region
def backups_are_made(region):
    """A backup is fetched through the Service as a client, read back, and kept on a claim that is not a node's; nothing that counts
    nodes counts its pod, and its pod may do no more than a node's."""
    for job in region.all("CronJob"):
        spec = job["spec"]
        work = spec["jobTemplate"]["spec"]
        pod, labels = work["template"]["spec"], work["template"]["metadata"]["labels"]
        if spec["concurrencyPolicy"] != "Forbid" or spec.get("suspend"):
            yield f"the job runs {spec['concurrencyPolicy']}, suspended: {spec.get('suspend', False)}"
        if not 0 < work.get("activeDeadlineSeconds", 0) <= BACKUP_HOURS * 3600 / 4 or pod["restartPolicy"] != "Never":
            yield "a job that hangs would hold up those after it"
        own = region.pod_labels(0)
        if labels.get("app.kubernetes.io/name") == own["app.kubernetes.io/name"]:
            yield "the job's pod has the label of the nodes, so Services and budgets count it"
        if labels.get("synod.dev/client") != "true":
            yield "the job's pod may not reach a node"
        (save, *_), (verify,) = pod["initContainers"], pod["containers"]
        clients = container_ports(region)["clients"]["containerPort"]
        wanted = ["snapshot", "save", "--into=/backups", f"--endpoints=synod.synod.svc:{clients}"]
        if [argument for argument in save["args"] if not argument.startswith("--keep=")] != wanted:
            yield f"the job runs {save['args']}"
        if verify["args"][:3] != ["snapshot", "status", "/backups"]:
            yield f"nobody reads what was saved, but runs {verify['args']}"
        (claim,) = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]]
        if not region.find("PersistentVolumeClaim", claim):
            yield f"the claim {claim} is not rendered"
        for container in pod["initContainers"] + pod["containers"]:
            if container["image"] != region.container["image"]:
                yield f"{container['name']} runs {container['image']}, the nodes {region.container['image']}"
            if container["securityContext"] != region.container["securityContext"]:
                yield f"{container['name']} may do more than a node"
        if pod["securityContext"] != region.pod["securityContext"] or pod.get("automountServiceAccountToken") is not False:
            yield "the job's pod may do more than a node's"


@of_region
def restores_fit(region):
    """The pod that restores a disk writes to the right claim, where the node will look, as the node that it will be."""
    for index in range(region.replicas):
        spec = restore_pod(index)["spec"]
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        own = {mount["name"]: mount["mountPath"] for mount in region.container["volumeMounts"]}
        if (paths["data"], paths["settings"]) != (own["data"], own["settings"]):
            yield f"the restoring pod mounts {paths}, the node {own}"
        if volumes["data"]["persistentVolumeClaim"]["claimName"] != f"data-synod-{index}":
            yield f"the restoring pod of {index} has {volumes['data']}"
        here, there = region.environment(index, container=container), region.environment(index)
        if f"--node={there['SYNOD_NODE']}" != expand(container["args"][-1], here):
            yield f"{there['SYNOD_NODE']} would be restored with {container['args'][-1]}"
        if strange := {name: value for name, value in here.items() if there.get(name) != value}:
            yield f"the restoring pod has {strange}"
        if container["image"] != region.container["image"]:
            yield f"the restoring pod runs {container['image']}, the node {region.container['image']}"
        if spec["securityContext"] != region.pod["securityContext"]:
            yield "the restoring pod may do more than a node, or its files belong to somebody else"


@of_region
def references_exist(region):
    """Whatever is named is rendered, or is brought by hand as the README says."""
    named = {("ServiceAccount", region.pod["serviceAccountName"]), ("PriorityClass", region.pod["priorityClassName"])}
    named.add(("Service", region.statefulset["spec"]["serviceName"]))
    made = {certificate["spec"]["secretName"] for certificate in region.all("Certificate")}
    for volume in region.pod["volumes"]:
        if "configMap" in volume:
            named.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            named.add(("Secret", volume["secret"]["secretName"]))
        for source in volume.get("projected", {}).get("sources", []):
            named.add(("Secret", source["secret"]["name"]))
    for entry in region.container["env"]:
        if reference := entry.get("valueFrom", {}).get("configMapKeyRef"):
            named.add(("ConfigMap", reference["name"]))
    for claim in region.statefulset["spec"]["volumeClaimTemplates"]:
        if storage := claim["spec"].get("storageClassName"):
            named.add(("StorageClass", storage))
    volumes = {volume["name"] for volume in region.pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in region.statefulset["spec"]["volumeClaimTemplates"]}
    for mount in region.container["volumeMounts"]:
        if mount["name"] not in volumes:
            yield f"{mount['mountPath']} is of volume {mount['name']}, which does not exist"
    for kind, name in sorted(named - BROUGHT):
        if not region.find(kind, name) and not (kind == "Secret" and name in made):
            yield f"{kind} {name} is named but not rendered"
    for item in region.objects:
        cluster_wide = item["kind"] in ("Namespace", "PriorityClass", "StorageClass")
        if not cluster_wide and item["metadata"].get("namespace") != "synod":
            yield f"{item['kind']} {item['metadata']['name']} is in no namespace of ours"


@of_region
def pods_are_spread(region):
    """A zone holds one pod at most, and so does a machine."""
    constraints = {c["topologyKey"]: c for c in region.pod["topologySpreadConstraints"]}
    zone, machine = constraints["topology.kubernetes.io/zone"], constraints["kubernetes.io/hostname"]
    if zone.get("minDomains") != region.replicas:
        yield f"{region.replicas} pods over at least {zone.get('minDomains')} zones"
    if any((c["maxSkew"], c["whenUnsatisfiable"]) != (1, "DoNotSchedule") for c in (zone, machine)):
        yield "spreading is not enforced"


@of_region
def resources_are_steady(region):
    """Memory is guaranteed and the CPU is not throttled."""
    resources = region.container["resources"]
    if resources["requests"]["memory"] != resources["limits"]["memory"]:
        yield "memory requested and memory allowed differ"
    if "cpu" in resources["limits"]:
        yield "a CPU limit throttles, which looks like slow disks and lost leaders"


@of_region
def service_links_are_off(region):
    """A Service named synod would inject variables that begin as the settings do."""
    if region.pod.get("enableServiceLinks") is not False:
        yield "service links are on"


@of_region
def monitoring_labels_pods(region):
    """Whoever is scraped carries the labels that rules and dashboards go by, and is scraped where it listens."""
    for monitor in region.all("PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if (endpoint["port"], endpoint["path"]) != ("http", "/metrics"):
                yield f"scraped is {endpoint['port']}{endpoint['path']}"
            given = {entry["targetLabel"]: entry.get("replacement") for entry in endpoint["relabelings"]}
            wanted = {"job": "synod", "cluster": region.settings["cluster"], "region": region.name, "node": None}
            if given != wanted:
                yield f"the labels are {given}, not {wanted}"
