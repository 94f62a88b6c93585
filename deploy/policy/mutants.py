"""Ways to break the manifests. A rule that notices none of them proves nothing."""

import copy
import sys


def container(region):
    return region.container


def patch_settings(old, new):
    def mutate(region):
        data = region.one("ConfigMap", "synod-settings")["data"]
        if old not in data["synod.toml"]:
            raise LookupError(f"the settings do not hold {old!r}")
        data["synod.toml"] = data["synod.toml"].replace(old, new)

    return mutate


def everywhere(mutate):
    """Applies a mutation to every region of a topology."""
    return lambda regions: [mutate(region) for region in regions]


def first(mutate):
    """Applies a mutation to the first region of a topology."""
    return lambda regions: mutate(regions[0])


def last(mutate):
    return lambda regions: mutate(regions[-1])


def put(*path):
    """Sets a value deep in an object: `put("spec", "replicas", 4)` on what is given."""
    *keys, key, value = path

    def mutate(item):
        for step in keys:
            item = item[step]
        item[key] = value

    return mutate


def of(kind, name, mutate):
    return lambda region: mutate(region.one(kind, name))


def drop(kind, name):
    return lambda region: region.objects.remove(region.one(kind, name))


def variable(name, value):
    """Sets a variable of the container that is there."""

    def mutate(region):
        (entry,) = [entry for entry in container(region)["env"] if entry["name"] == name]
        entry["value"] = value

    return mutate


def give_turn(region):
    region.one("PodDisruptionBudget", "synod")["spec"]["maxUnavailable"] = 1
    region.statefulset["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0


SET = lambda *path: of("StatefulSet", "synod", put(*path))
PDB = lambda *path: of("PodDisruptionBudget", "synod", put(*path))
JOB = lambda *path: of("CronJob", "synod-backup", put("spec", *path))
JOB_POD = ("jobTemplate", "spec", "template", "spec")
POLICY = lambda *path: of("NetworkPolicy", "synod", put(*path))
BOX = lambda *path: lambda region: put(*path)(container(region))
POD = lambda *path: lambda region: put(*path)(region.pod)

NESTED, GRID, FIVE = "nested-3x3", "grid-3x3", "five-node-2-2-1"

# Rule, topology, mutation.
MUTANTS = [
    ("pods_are_the_members", NESTED, first(SET("spec", "replicas", 4))),
    ("pods_are_the_members", FIVE, last(of("ConfigMap", "synod-region", put("data", "region", "us-east-1")))),
    ("regions_agree", NESTED, last(patch_settings("[log]", "reluctance = 3\n[log]"))),
    ("regions_agree", NESTED, last(BOX("image", "registry.example.com/synod:0.2.0"))),
    ("budgets_keep_quorums", NESTED, everywhere(PDB("spec", "maxUnavailable", 2))),
    ("budgets_keep_quorums", GRID, last(PDB("spec", "maxUnavailable", 1))),
    ("budgets_keep_quorums", FIVE, last(PDB("spec", "maxUnavailable", 1))),
    ("budgets_keep_quorums", NESTED, everywhere(PDB("spec", "maxUnavailable", "50%"))),
    ("budgets_keep_quorums", GRID, everywhere(PDB("spec", "maxUnavailable", 0))),
    ("budgets_keep_quorums", NESTED, everywhere(patch_settings("zones 2x2/2x2", "counts 7/3"))),
    ("rollouts_keep_quorums", GRID, everywhere(give_turn)),
    ("rollouts_keep_quorums", GRID, first(PDB("spec", "maxUnavailable", 0))),
    ("addresses_are_published", NESTED, first(drop("ServiceExport", "synod-peers"))),
    ("addresses_are_published", GRID, everywhere(patch_settings("synod-1.eu-west-1", "synod-7.eu-west-1"))),
    ("addresses_are_published", FIVE, first(of("Service", "synod-peers", put("metadata", "annotations", {})))),
    ("addresses_are_published", FIVE, first(of("Service", "synod-peers", put("spec", "publishNotReadyAddresses", False)))),
    ("ports_agree", NESTED, everywhere(patch_settings('"0.0.0.0:7400"', '"0.0.0.0:7401"'))),
    ("ports_agree", NESTED, everywhere(patch_settings('"0.0.0.0:2379"', '"127.0.0.1:2379"'))),
    ("ports_agree", GRID, first(of("Service", "synod-0", put("spec", "ports", 0, "protocol", "TCP")))),
    ("ports_agree", GRID, everywhere(patch_settings("synod-1.eu-west-1.synod.example.com:7400", "synod-1.eu-west-1.synod.example.com:7500"))),
    ("network_policy_is_exact", NESTED, first(POLICY("spec", "policyTypes", ["Ingress"]))),
    ("network_policy_is_exact", NESTED, first(POLICY("spec", "ingress", 1, "from", []))),
    ("network_policy_is_exact", NESTED, first(POLICY("spec", "ingress", 0, "ports", 0, "protocol", "TCP"))),
    ("network_policy_is_exact", GRID, first(POLICY("spec", "egress", 0, "to", []))),
    ("probes_differ", NESTED, first(BOX("livenessProbe", "httpGet", "path", "/readyz"))),
    ("probes_differ", NESTED, first(BOX("livenessProbe", "failureThreshold", 2))),
    ("probes_differ", NESTED, first(BOX("readinessProbe", "httpGet", "port", "clients"))),
    ("grace_suffices", NESTED, first(POD("terminationGracePeriodSeconds", 30))),
    ("grace_suffices", NESTED, first(BOX("lifecycle", "preStop", {"sleep": {"seconds": 5}}))),
    ("grace_suffices", GRID, first(BOX("lifecycle", "preStop", "exec", "command", 3, "--timeout=25s"))),
    ("grace_suffices", GRID, first(BOX("lifecycle", "preStop", "exec", "command", 2, "--linger=15s"))),
    ("certificates_fit", NESTED, first(of("Certificate", "synod-1", put("spec", "uris", ["spiffe://example/region/us-east-1/node/1"])))),
    ("certificates_fit", NESTED, first(of("Certificate", "synod-1", put("spec", "usages", ["server auth"])))),
    ("certificates_fit", GRID, everywhere(patch_settings("/etc/synod/certificates/ca.pem", "/etc/synod/ca.pem"))),
    ("certificates_fit", NESTED, first(variable("SYNOD_CERTIFICATES_KEY", "/etc/synod/certificates/node-0.key"))),
    ("certificates_fit", GRID, first(variable("SYNOD_CERTIFICATES_CERTIFICATE", "/etc/synod/certificates/node-0.pem"))),
    ("certificates_fit", GRID, first(lambda region: [
        mount.update(subPath="all") for mount in container(region)["volumeMounts"] if mount["name"] == "certificates"
    ])),
    ("nothing_is_latest", NESTED, everywhere(BOX("image", "registry.example.com/synod:latest"))),
    ("nothing_is_latest", NESTED, everywhere(BOX("image", "registry.example.com:5000/synod"))),
    ("pod_security_is_restricted", NESTED, first(POD("hostNetwork", True))),
    ("pod_security_is_restricted", FIVE, first(BOX("securityContext", "readOnlyRootFilesystem", False))),
    ("pod_security_is_restricted", GRID, first(POD("securityContext", "runAsNonRoot", False))),
    ("selectors_match", NESTED, first(PDB("spec", "selector", {"matchLabels": {"app": "synod"}}))),
    ("selectors_match", NESTED, first(of("Service", "synod", put("spec", "selector", {"app": "synod"})))),
    ("founding_is_by_hand", NESTED, first(lambda region: container(region)["args"].append("--bootstrap"))),
    ("founding_is_by_hand", NESTED, first(lambda region: container(region)["env"].append({"name": "SYNOD_BOOTSTRAP", "value": "true"}))),
    ("founding_is_by_hand", NESTED, first(lambda region: region.objects.append(
        {"kind": "ConfigMap", "metadata": {"name": "synod-founding", "namespace": "synod"}, "data": {"bootstrap": "true"}}
    ))),
    ("joining_is_by_hand", NESTED, first(lambda region: region.objects.append(
        {"kind": "ConfigMap", "metadata": {"name": "synod-join", "namespace": "synod"}, "data": {}}
    ))),
    ("joining_is_by_hand", GRID, first(variable("SYNOD_JOIN", "/etc/synod/join/us-east-1-0.toml"))),
    ("joining_is_by_hand", FIVE, last(lambda region: [
        volume["configMap"].pop("optional") for volume in region.pod["volumes"] if volume["name"] == "join"
    ])),
    ("joining_is_by_hand", GRID, first(lambda region: [
        mount.update(subPath="us-east-1-0.toml") for mount in container(region)["volumeMounts"] if mount["name"] == "join"
    ])),
    ("disks_outlive_pods", NESTED, first(SET("spec", "persistentVolumeClaimRetentionPolicy", "whenScaled", "Delete"))),
    ("disks_outlive_pods", GRID, first(of("StorageClass", "synod", put("reclaimPolicy", "Delete")))),
    ("disks_outlive_pods", GRID, everywhere(patch_settings("/var/lib/synod/node", "/tmp/node"))),
    ("disks_outlive_pods", GRID, first(lambda region: put("spec", "accessModes", ["ReadWriteMany"])(
        region.statefulset["spec"]["volumeClaimTemplates"][0]
    ))),
    ("backups_are_made", NESTED, last(JOB("concurrencyPolicy", "Allow"))),
    ("backups_are_made", NESTED, last(JOB("jobTemplate", "spec", "activeDeadlineSeconds", 86400))),
    ("backups_are_made", NESTED, last(JOB("jobTemplate", "spec", "template", "metadata", "labels", "app.kubernetes.io/name", "synod"))),
    ("backups_are_made", NESTED, last(JOB("jobTemplate", "spec", "template", "metadata", "labels", "synod.dev/client", "false"))),
    ("backups_are_made", NESTED, last(JOB(*JOB_POD, "initContainers", 0, "args", 2, "--into=/tmp"))),
    ("backups_are_made", NESTED, last(JOB(*JOB_POD, "containers", 0, "args", ["--help"]))),
    ("backups_are_made", NESTED, last(JOB(*JOB_POD, "containers", 0, "image", "registry.example.com/synod:0.0.9"))),
    ("backups_are_made", NESTED, last(JOB(*JOB_POD, "containers", 0, "securityContext", {}))),
    ("backups_are_made", NESTED, last(JOB(*JOB_POD, "securityContext", "runAsNonRoot", False))),
    ("backups_are_made", NESTED, last(drop("PersistentVolumeClaim", "synod-backups"))),
    ("restores_fit", NESTED, everywhere(BOX("image", "registry.example.com/synod:0.2.0"))),
    ("restores_fit", GRID, everywhere(POD("securityContext", "runAsUser", 1000))),
    ("restores_fit", FIVE, everywhere(variable("SYNOD_NODE", "$(REGION)-x$(POD_INDEX)"))),
    ("references_exist", NESTED, first(drop("StorageClass", "synod"))),
    ("references_exist", NESTED, first(drop("Certificate", "synod-2"))),
    ("references_exist", FIVE, first(of("Service", "synod", put("metadata", "namespace", "default")))),
    ("pods_are_spread", FIVE, first(POD("topologySpreadConstraints", 0, "minDomains", 1))),
    ("pods_are_spread", FIVE, first(POD("topologySpreadConstraints", 1, "whenUnsatisfiable", "ScheduleAnyway"))),
    ("resources_are_steady", NESTED, first(BOX("resources", "limits", "cpu", "2"))),
    ("resources_are_steady", NESTED, first(BOX("resources", "limits", "memory", "4Gi"))),
    ("monitoring_labels_pods", NESTED, last(of("PodMonitor", "synod", lambda monitor: put("replacement", "us-east-1")(
        monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][2]
    )))),
    ("selectors_match", NESTED, first(of("PodMonitor", "synod", put("spec", "selector", {"matchLabels": {"app": "synod"}})))),
    ("service_links_are_off", NESTED, first(POD("enableServiceLinks", True))),
]


def hunt(clusters, judge):
    """Runs every mutant; 0 if the rule meant for it notices each, and every rule has one."""
    import rules

    survivors = []
    for number, (rule, topology, mutate) in enumerate(MUTANTS, 1):
        broken = {topology: copy.deepcopy(clusters[topology])}
        mutate(broken[topology])
        try:
            noticed = {name for name, _, _ in judge(broken)}
        except (LookupError, ValueError) as error:
            noticed = {f"an error ({error})"}
        if rule not in noticed:
            survivors.append(f"mutant {number} of {topology} should be noticed by {rule}; noticed by {sorted(noticed)}")
    judged = {rule for rule, _, _ in MUTANTS}
    for rule in rules.REGION_RULES + rules.TOPOLOGY_RULES:
        if rule.__name__ not in judged:
            survivors.append(f"the rule {rule.__name__} has no mutant")
    for survivor in survivors:
        print(survivor, file=sys.stderr)
    print(f"policy mutants: {len(MUTANTS)} broken manifests, {len(survivors)} faults")
    return 1 if survivors else 0
