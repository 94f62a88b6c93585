"""Judges the compose file: it is what the settings beside it say."""

import tomllib

import yaml
from manifests import DEPLOY
from quorums import Quorums


def faults(synod):
    """Sentences about what does not fit."""
    file = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    text = (DEPLOY / "compose" / "synod.toml").read_text()
    settings = tomllib.loads(text)
    Quorums(synod, text)
    nodes = {name: service for name, service in file["services"].items() if name != "certs"}
    members = {member["name"]: member for member in settings["member"]}
    if nodes.keys() != members.keys():
        yield f"the services are {sorted(nodes)}, the members {sorted(members)}"
        return
    port = lambda address: address.rsplit(":", 1)[1]
    published = []
    for name, service in nodes.items():
        member, environment = members[name], service["environment"]
        wanted = {
            "SYNOD_NODE": name,
            "SYNOD_CERTIFICATES_CERTIFICATE": f"/certificates/node-{member['node']}.pem",
            "SYNOD_CERTIFICATES_KEY": f"/certificates/node-{member['node']}.key",
            "SYNOD_BOOTSTRAP": "${SYNOD_BOOTSTRAP:-false}",
        }
        if environment != wanted:
            yield f"{name}: the environment is {environment}"
        if member["address"] != f"{name}:{port(settings['listen']['peers'])}":
            yield f"{name} is dialled at {member['address']}"
        for volume in (name, "certificates"):
            if volume not in file["volumes"]:
                yield f"{name}: there is no volume {volume}"
        ports = dict(reversed(entry.rsplit(":", 1)) for entry in service["ports"])
        published += ports.values()
        if ports.keys() != {port(settings["listen"]["clients"]), port(settings["listen"]["http"])}:
            yield f"{name}: the ports are {service['ports']}"
        if member["client_url"] != f"http://{ports[port(settings['listen']['clients'])]}":
            yield f"{name}: clients are sent to {member['client_url']}"
        if service["read_only"] is not True or service["cap_drop"] != ["ALL"] or service["user"].startswith("0"):
            yield f"{name} may do more than it needs"
        if service["image"].endswith(":latest") or ":" not in service["image"]:
            yield f"{name}: the image is {service['image']}"
    if len(set(published)) != len(published) or any(not where.startswith("127.0.0.1:") for where in published):
        yield f"published are {published}"
