#!/usr/bin/env python3
"""What the schemas of Kubernetes do not say about rendered manifests: that names meet their
objects, that requests stay below limits, and that the configuration inside fits the pod around
it. Prints each defect and exits 1 if there is one."""

import re
import sys
import tomllib

import yaml

QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|[kMGTP]|[KMGTP]i)?$")
FACTOR = {None: 1, "m": 1e-3, **{u: 1000.0 ** (i + 1) for i, u in enumerate("kMGTP")}}
FACTOR |= {u + "i": 1024.0 ** (i + 1) for i, u in enumerate("KMGTP")}
# Made by whoever runs the cluster, before the first apply.
FOREIGN = {
    ("Secret", "sextant-aggregator-tls"),
    ("Secret", "sextant-tokens"),
    ("Secret", "sextant-agent-token"),
    ("ConfigMap", "sextant-ca"),
}
CLUSTER_WIDE = {"Namespace"}
AGENT = "DaemonSet/sextant-agent"

defects = []


def expect(holds, text):
    if not holds:
        defects.append(text)


def quantity(text, where):
    match = QUANTITY.match(str(text))
    expect(match, f"{where}: {text!r} is no quantity")
    return float(match[1]) * FACTOR[match[2]] if match else 0.0


def volume_source(volume):
    if "configMap" in volume:
        return "ConfigMap", volume["configMap"]["name"]
    if "secret" in volume:
        return "Secret", volume["secret"]["secretName"]
    return None


def check_config(name, pod, container, objects):
    """The TOML file that the container is started with, against the container."""
    arguments = container.get("args", [])
    expect(arguments[:1] == ["--config"], f"{name}: not started with --config")
    path = arguments[1]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    place = max((at for at in mounts if path.startswith(at + "/")), key=len, default=None)
    expect(place, f"{name}: nothing is mounted at {path}")
    volume = next(v for v in pod["volumes"] if v["name"] == mounts[place]["name"])
    config = objects[("ConfigMap", volume["configMap"]["name"])]
    file = path.removeprefix(place + "/")
    expect(file in config["data"], f"{name}: {volume['name']} has no {file}")
    values = tomllib.loads(config["data"][file])

    def walk(prefix, table):
        for key, value in table.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
                continue
            if isinstance(value, str) and value.startswith("/"):
                under = [at for at in mounts if value == at or value.startswith(at + "/")]
                expect(under, f"{name}: {prefix}{key} = {value} is on no mount")
                written = prefix + key in ("data_dir", "spool.dir")
                read_only = all(mounts[at].get("readOnly", False) for at in under)
                expect(written != read_only, f"{name}: {prefix}{key} = {value} on a mount with readOnly {read_only}")

    walk("", values)
    listeners = {address.rsplit(":", 1)[1] for address in values.get("listen", {}).values() if isinstance(address, str)}
    listeners |= {values["health"]["listen"].rsplit(":", 1)[1]} if "health" in values else set()
    ports = {port["name"]: str(port["containerPort"]) for port in container.get("ports", [])}
    for port, number in ports.items():
        expect(number in listeners, f"{name}: port {port} = {number} is not listened on")
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container.get(kind)
        if probe:
            port = str(probe["httpGet"]["port"])
            expect(ports.get(port, port) in listeners, f"{name}: {kind} asks port {port}")
    expect("livenessProbe" in container, f"{name}: no livenessProbe")


def check_workload(workload, objects, volume_claims):
    name = f"{workload['kind']}/{workload['metadata']['name']}"
    spec = workload["spec"]
    template = spec["template"]
    pod = template["spec"]
    labels = template["metadata"]["labels"].items()
    expect(spec["selector"]["matchLabels"].items() <= labels, f"{name}: selector does not match its pods")
    account = ("ServiceAccount", pod["serviceAccountName"])
    expect(account in objects, f"{name}: no {'/'.join(account)}")
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for volume in volumes.values():
        source = volume_source(volume)
        expect(not source or source in objects or source in FOREIGN, f"{name}: no {source}")
    used = set()
    for container in pod["containers"]:
        for mount in container["volumeMounts"]:
            used.add(mount["name"])
            expect(mount["name"] in volumes or mount["name"] in volume_claims, f"{name}: no volume {mount['name']}")
            host = volumes.get(mount["name"], {}).get("hostPath")
            own = host and host["path"].startswith("/var/lib/sextant/")
            expect(not host or own or mount.get("readOnly"), f"{name}: the node's {host} can be written to")
        for resource, limit in container["resources"]["limits"].items():
            request = container["resources"]["requests"].get(resource, 0)
            where = f"{name}: {resource}"
            expect(quantity(request, where) <= quantity(limit, where), f"{where}: request above limit")
        for resource, request in container["resources"]["requests"].items():
            quantity(request, f"{name}: {resource}")
        security = container["securityContext"]
        expect(security.get("readOnlyRootFilesystem"), f"{name}: can write to its image")
        # Only the agent opens device files.
        if name != AGENT:
            expect(not security.get("privileged"), f"{name}: privileged")
            expect(security.get("allowPrivilegeEscalation") is False, f"{name}: can gain privileges")
        expect(":" in container["image"] and not container["image"].endswith(":latest"), f"{name}: image without a version")
        check_config(name, pod, container, objects)
    expect(used == set(volumes) | volume_claims, f"{name}: volumes that nothing mounts")


def check_service(service, workloads):
    name = f"Service/{service['metadata']['name']}"
    selector = service["spec"]["selector"].items()
    targets = [w for w in workloads if selector <= w["spec"]["template"]["metadata"]["labels"].items()]
    expect(len(targets) == 1, f"{name}: selects {len(targets)} workloads")
    for target in targets:
        containers = target["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for c in containers for port in c.get("ports", [])}
        for port in service["spec"]["ports"]:
            expect(ports.get(port["targetPort"]) == port["port"], f"{name}: port {port['name']} meets no container port")


def main(path):
    with open(path, encoding="utf-8") as file:
        documents = list(yaml.safe_load_all(file))
    objects = {(d["kind"], d["metadata"]["name"]): d for d in documents}
    expect(len(objects) == len(documents), "two objects with one name")
    for (kind, name), document in objects.items():
        namespace = document["metadata"].get("namespace")
        expect(namespace == (None if kind in CLUSTER_WIDE else "sextant"), f"{kind}/{name}: namespace {namespace}")
    workloads = [d for d in documents if d["kind"] in ("DaemonSet", "StatefulSet")]
    expect({w["kind"] for w in workloads} == {"DaemonSet", "StatefulSet"}, "agent or aggregator is missing")
    for workload in workloads:
        claims = {c["metadata"]["name"] for c in workload["spec"].get("volumeClaimTemplates", [])}
        check_workload(workload, objects, claims)
        service = workload["spec"].get("serviceName")
        expect(not service or ("Service", service) in objects, f"no Service/{service}")
    for document in documents:
        if document["kind"] == "Service":
            check_service(document, workloads)
    for defect in defects:
        print(defect, file=sys.stderr)
    if defects:
        return 1
    print(f"{len(documents)} objects are consistent")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
