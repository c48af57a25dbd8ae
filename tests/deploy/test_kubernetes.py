"""deploy/kubernetes: by Kubernetes' own schemas, and every name in it by the code that it names."""

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from kpi_app.settings import Settings, default
from kpi_app.stream.topics import CHANGELOG, MAX_PARTITIONS, NEW_PARTITIONS, REPLICAS, Names
from tests.deploy.conftest import DEPLOY

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VERSION = "1.34"
ROLES = (DEPLOY / "postgres/roles.sql").read_text()


def documents() -> Iterator[dict[str, Any]]:
    """What the kustomization is made of, but for what it generates."""
    for name in KUSTOMIZATION["resources"]:
        if name.endswith(".yaml"):
            yield from yaml.safe_load_all((FOLDER / name).read_text())


MANIFESTS = {(it["kind"], it["metadata"]["name"]): it for it in documents()}
SETTINGS = dict(it.split("=", 1) for it in KUSTOMIZATION["configMapGenerator"][0]["literals"])
NAMES = Names(SETTINGS["KPI_TOPIC"])
WORKER = MANIFESTS["StatefulSet", "kpi-worker"]
PODS = {key: it["spec"]["template"] for key, it in MANIFESTS.items() if key[0] in ("StatefulSet", "Job")}
CONTAINERS = [
    it for pod in PODS.values() for it in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
]


def of_kind(kind: str) -> list[dict[str, Any]]:
    """All manifests of a kind."""
    return [it for (its, _), it in MANIFESTS.items() if its == kind]


def record(*required: str, **optional: Any) -> dict[str, Any]:
    """The schema of an object with these keys and no other."""
    properties = {name: {} for name in required} | optional
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def several(item: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "minItems": 1, "items": item}


def at(name: str, schema: dict[str, Any], inner: dict[str, Any]) -> dict[str, Any]:
    """A schema with that of one of its keys."""
    return schema | {"properties": schema["properties"] | {name: inner}}


_RULE = at(
    "operations",
    at("resource", record("resource", "operations"), record("type", "name", "patternType")),
    several({"enum": ["Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs"]}),
)
_ROLE = record("name", "ensure", "login", "passwordSecret", connectionLimit={"type": "integer"})

#: Of the operators' own kinds, the fields that are used here, as their documentation has them. Their schemas are in no
#: package: this finds a misspelt or misplaced key, not one that an operator stopped to know.
CUSTOM = {
    ("kafka.strimzi.io/v1", "KafkaTopic"): record("partitions", "replicas", "config"),
    ("kafka.strimzi.io/v1", "KafkaUser"): at(
        "authorization",
        at("authentication", record("authentication", "authorization"), record("type")),
        at("acls", record("type", "acls"), several(_RULE)),
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): at(
        "triggers",
        record(
            *("scaleTargetRef", "pollingInterval", "minReplicaCount", "maxReplicaCount", "triggers"),
            advanced=record("horizontalPodAutoscalerConfig"),
        ),
        several(
            at(
                "metadata",
                record("type", "metadata", "authenticationRef"),
                record(
                    *("bootstrapServers", "consumerGroup", "topic", "lagThreshold", "offsetResetPolicy"),
                    *("allowIdleConsumers", "sasl", "tls"),
                )
                | {"additionalProperties": {"type": "string"}},
            )
        ),
    ),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): at(
        "secretTargetRef", record("secretTargetRef"), several(record("parameter", "name", "key"))
    ),
    ("postgresql.cnpg.io/v1", "Cluster"): at(
        "managed",
        at(
            "bootstrap",
            record(*("instances", "postgresql", "bootstrap", "managed", "storage", "resources")),
            at(
                "initdb",
                record("initdb"),
                record("database", "owner", "secret", "dataChecksums", "postInitApplicationSQLRefs"),
            ),
        ),
        at("roles", record("roles"), several(_ROLE)),
    ),
}


def is_custom(manifest: dict[str, Any]) -> bool:
    return (manifest["apiVersion"], manifest["kind"]) in CUSTOM


@pytest.mark.parametrize("key", [key for key, it in MANIFESTS.items() if not is_custom(it)], ids="/".join)
def test_a_manifest_is_what_kubernetes_takes(key: tuple[str, str]) -> None:
    """By Kubernetes' own schemas, with no key that they don't know."""
    kubernetes_validate.validate(MANIFESTS[key], VERSION, strict=True)


def test_the_schemas_would_notice() -> None:
    """That the check above can fail."""
    wrong = json.loads(json.dumps(WORKER))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessProb"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessProb"):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


@pytest.mark.parametrize("key", [key for key, it in MANIFESTS.items() if is_custom(it)], ids="/".join)
def test_a_manifest_of_an_operator_has_its_fields(key: tuple[str, str]) -> None:
    """Those that its documentation names, where it names them."""
    manifest = MANIFESTS[key]
    jsonschema.validate(manifest["spec"], CUSTOM[manifest["apiVersion"], manifest["kind"]])


def test_every_file_is_part_of_it() -> None:
    """None is forgotten, and none is missing."""
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files | {"../postgres"}
    scripts = yaml.safe_load((DEPLOY / "postgres/kustomization.yaml").read_text())
    assert all((DEPLOY / "postgres" / it).exists() for it in scripts["configMapGenerator"][0]["files"])


def test_topics_are_those_that_workers_would_make() -> None:
    """By name, partitions, copies and what is kept."""
    topics = {it["metadata"]["name"]: it["spec"] for it in of_kind("KafkaTopic")}
    assert topics.keys() == {NAMES.raw, NAMES.changelog, NAMES.rejected}
    assert {(it["partitions"], it["replicas"]) for it in topics.values()} == {(NEW_PARTITIONS, REPLICAS)}
    config = {name: str(value) for name, value in topics[NAMES.changelog]["config"].items()}
    assert config == CHANGELOG | {"min.insync.replicas": "2"}


def test_partitions_are_said_once() -> None:
    """In topics.yaml, from where kustomize takes them: to what there is, and where a number is."""
    [replacement] = KUSTOMIZATION["replacements"]
    source = replacement["source"]
    assert value_at(MANIFESTS[source["kind"], source["name"]], source["fieldPath"]) == NEW_PARTITIONS <= MAX_PARTITIONS
    targets = [(it["select"], it["fieldPaths"][0]) for it in replacement["targets"]]
    assert {select["name"] for select, _ in targets} == {NAMES.changelog, NAMES.rejected, "kpi-worker"}
    for select, path in targets:
        assert value_at(MANIFESTS[select["kind"], select["name"]], path) == NEW_PARTITIONS


def value_at(manifest: dict[str, Any], path: str) -> Any:
    """A field, by its names with dots between."""
    for name in path.split("."):
        manifest = manifest[name]
    return manifest


def test_users_may_do_what_they_do_and_no_more() -> None:
    """Each resource is one of ours; every partition's transactional id is covered; topics are Strimzi's to make."""
    rules = {
        user["metadata"]["name"]: {
            (it["resource"]["type"], it["resource"]["name"], it["resource"]["patternType"]): set(it["operations"])
            for it in user["spec"]["authorization"]["acls"]
        }
        for user in of_kind("KafkaUser")
    }
    prefix = f"{NAMES.app}-"
    assert all(NAMES.transactional_id(number).startswith(prefix) for number in range(MAX_PARTITIONS))
    assert rules["kpi-worker"] == {
        ("topic", NAMES.raw, "literal"): {"Read"},
        ("topic", NAMES.changelog, "literal"): {"Read", "Write", "Alter"},
        ("topic", NAMES.rejected, "literal"): {"Write"},
        ("group", NAMES.app, "literal"): {"Read"},
        ("transactionalId", prefix, "prefix"): {"Write"},
    }
    assert rules["kpi-shipper"] == {("topic", NAMES.raw, "literal"): {"Write"}}
    assert all(it == {"Describe"} for it in rules["kpi-scaler"].values())


def test_the_scaler_looks_at_the_workers_group() -> None:
    """Its group, topic and broker are the workers'; it scales the workers, and lets none idle."""
    spec = MANIFESTS["ScaledObject", "kpi-worker"]["spec"]
    target = spec["scaleTargetRef"]
    assert (target["apiVersion"], target["kind"], target["name"]) in {
        (it["apiVersion"], it["kind"], it["metadata"]["name"]) for it in MANIFESTS.values()
    }
    asked = spec["triggers"][0]["metadata"]
    assert (asked["consumerGroup"], asked["topic"]) == (NAMES.app, NAMES.raw)
    assert asked["bootstrapServers"] == SETTINGS["KPI_BROKERS"]
    assert asked["allowIdleConsumers"] == "false"
    assert ("TriggerAuthentication", spec["triggers"][0]["authenticationRef"]["name"]) in MANIFESTS
    assert "replicas" not in WORKER["spec"]  # or each `apply` would undo what the scaler did


def test_settings_are_ours() -> None:
    """Every KPI_ variable is a setting's; secrets come by reference."""
    variables = {it["name"]: it for container in CONTAINERS for it in container.get("env", [])}
    named = {name.removeprefix("KPI_").lower() for name in {*SETTINGS, *variables} if name.startswith("KPI_")}
    assert named <= Settings.model_fields.keys()
    for name, it in variables.items():
        if "PASSWORD" in name:
            assert "secretKeyRef" in it["valueFrom"], name
    assert not of_kind("Secret")


def test_urls_are_of_roles_and_a_database_that_there_are() -> None:
    """And verified: the certificate's name and its CA."""
    cluster = MANIFESTS["Cluster", "kpi-db"]
    database = cluster["spec"]["bootstrap"]["initdb"]["database"]
    managed = {it["name"]: it for it in cluster["spec"]["managed"]["roles"]}
    roles = set(re.findall(r"'(kpi_\w+)'", ROLES))
    assert {cluster["spec"]["bootstrap"]["initdb"]["owner"], *managed} == roles
    assert f"CONNECTION LIMIT {managed['kpi_reader']['connectionLimit']};" in ROLES
    urls = [it["value"] for box in CONTAINERS for it in box.get("env", []) if it["name"] == "KPI_DATABASE_URL"]
    assert len(urls) == 2
    for url in urls:
        found = re.fullmatch(
            r"postgresql://(\w+):\$\((\w+)\)@([\w-]+):5432/(\w+)\?sslmode=verify-full&sslrootcert=(\S+)", url
        )
        assert found, url
        assert (found[1] in roles, found[3], found[4]) == (True, "kpi-db-rw", database)
        [box] = [box for box in CONTAINERS if {"name": "KPI_DATABASE_URL", "value": url} in box.get("env", [])]
        names = [it["name"] for it in box["env"]]
        assert names.index(found[2]) < names.index("KPI_DATABASE_URL")  # Kubernetes fills in what was named before
        assert any(found[5].startswith(it["mountPath"] + "/") for it in box["volumeMounts"])


def test_secrets_are_made_by_somebody() -> None:
    """By make-secrets, by Strimzi for its users, or by the operators; a role's user is the role."""
    made = make_secrets()
    known = {it["metadata"]["name"]: set(it["stringData"]) for it in made}
    known |= {it["metadata"]["name"]: {"password"} for it in of_kind("KafkaUser")}
    known |= {"kafka-cluster-ca-cert": {"ca.crt"}, "kpi-db-ca": {"ca.crt"}}
    asked = set(
        re.findall(r'"secretKeyRef": {"name": "([\w-]+)", "key": "([\w.-]+)"}', json.dumps(list(MANIFESTS.values())))
    )
    asked |= {
        (it["name"], it["key"]) for auth in of_kind("TriggerAuthentication") for it in auth["spec"]["secretTargetRef"]
    }
    asked |= {
        (it["secret"]["secretName"], item["key"])
        for pod in PODS.values()
        for it in pod["spec"]["volumes"]
        if "secret" in it
        for item in it["secret"]["items"]
    }
    assert len(asked) > 5
    assert [it for it in asked if it[1] not in known.get(it[0], ())] == []
    for role in MANIFESTS["Cluster", "kpi-db"]["spec"]["managed"]["roles"]:
        [secret] = [it for it in made if it["metadata"]["name"] == role["passwordSecret"]["name"]]
        assert secret["stringData"]["username"] == role["name"]


def make_secrets() -> list[dict[str, Any]]:
    """What make-secrets prints."""
    done = subprocess.run(["sh", str(FOLDER / "make-secrets")], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_secrets_are_random() -> None:
    """Each one, each time; and Kubernetes takes them."""
    both = [*make_secrets(), *make_secrets()]
    given = [it["stringData"]["password"] for it in both if "password" in it["stringData"]]
    assert len(set(given)) == len(given) == 6
    assert all(re.fullmatch("[0-9a-f]{48}", it) for it in given)
    for secret in both:
        kubernetes_validate.validate(secret, VERSION, strict=True)


def test_probes_and_ports_are_those_of_the_web_endpoint() -> None:
    """Alive by /livez, ready by /readyz; one port everywhere."""
    [worker] = PODS["StatefulSet", "kpi-worker"]["spec"]["containers"]
    pages = (DEPLOY.parent / "kpi_app/web/pages.py").read_text()
    probes = {name: worker[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    notes = PODS["StatefulSet", "kpi-worker"]["metadata"]["annotations"]
    assert all(f'"{path}"' in pages for path in {*probes.values(), notes["prometheus.io/path"]})
    port = int(default("web_port"))
    assert [it["containerPort"] for it in worker["ports"]] == [port]
    assert MANIFESTS["Service", "kpi-worker"]["spec"]["ports"][0]["port"] == port
    assert notes["prometheus.io/port"] == str(port)
    ingress = MANIFESTS["NetworkPolicy", "kpi-worker"]["spec"]["ingress"]
    assert [it["port"] for rule in ingress for it in rule["ports"]] == [port]


def test_workers_have_a_volume_each_where_the_image_keeps_its_data() -> None:
    """At KPI_DATA_DIR of the Dockerfile, owned by its user."""
    dockerfile = (DEPLOY.parent / "Dockerfile").read_text()
    [claim] = WORKER["spec"]["volumeClaimTemplates"]
    [worker] = PODS["StatefulSet", "kpi-worker"]["spec"]["containers"]
    mounts = {it["name"]: it["mountPath"] for it in worker["volumeMounts"]}
    assert f"KPI_DATA_DIR={mounts[claim['metadata']['name']]} " in dockerfile
    user = PODS["StatefulSet", "kpi-worker"]["spec"]["securityContext"]
    assert f"USER {user['runAsUser']}:{user['fsGroup']}\n" in dockerfile
    assert any(SETTINGS["KPI_KAFKA_SSL_CA"].startswith(it + "/") for it in mounts.values())


def test_pods_may_do_nothing_special() -> None:
    """What `restricted` asks for, a read-only root, no token, limits of memory."""
    for pod in PODS.values():
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["spec"]["automountServiceAccountToken"]
        assert ("ServiceAccount", pod["spec"]["serviceAccountName"]) in MANIFESTS
    for box in CONTAINERS:
        assert box["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in box["resources"]["limits"]
        assert {it["name"] for it in box["volumeMounts"]} <= {"data", "tmp", "scripts", "kafka-ca", "postgres-ca"}
        assert box["image"] == "kpi-app" or re.search(r":\d+\.\d+", box["image"])


def test_the_namespace_lets_kafka_in() -> None:
    """Strimzi's pods are `baseline` by default; of more than that the namespace only warns."""
    [namespace] = of_kind("Namespace")
    levels = {name.partition("/")[2]: level for name, level in namespace["metadata"]["labels"].items()}
    assert levels == {"enforce": "baseline", "warn": "restricted", "audit": "restricted"}


def test_selectors_select_pods_that_there_are() -> None:
    """Of the service, of the budget and of the policies; the operators' pods by the operators' labels."""
    ours = [pod["metadata"]["labels"] for pod in PODS.values()]
    theirs = [
        {"strimzi.io/cluster": "kafka", "strimzi.io/kind": "Kafka"},
        {"cnpg.io/cluster": MANIFESTS["Cluster", "kpi-db"]["metadata"]["name"]},
        {"k8s-app": "kube-dns"},
    ]
    selected = [MANIFESTS["Service", "kpi-worker"]["spec"]["selector"]]
    selected += [it["spec"]["selector"]["matchLabels"] for it in (WORKER, *of_kind("PodDisruptionBudget"))]
    policies = json.dumps(of_kind("NetworkPolicy"))
    selected += [json.loads(it) for it in re.findall(r'"podSelector": {"matchLabels": ({[^}]*})}', policies)]
    assert len(selected) > 10
    for labels in selected:
        assert any(labels.items() <= pod.items() for pod in [*ours, *theirs]), labels
    values = {pod["app.kubernetes.io/name"] for pod in ours}
    assert [set(it) for it in map(json.loads, re.findall(r'"values": (\[[^]]*\])', policies))] == [values]


def test_workers_reach_kafka_and_postgres_at_their_ports() -> None:
    """The policy's ports are those of the settings; every policy allows DNS to those who have to look up names."""
    for name in ("kpi-worker", "kpi-migrate"):
        egress = MANIFESTS["NetworkPolicy", name]["spec"]["egress"]
        ports = {it["port"] for rule in egress for it in rule["ports"]}
        assert {53, 5432} <= ports
        assert (int(SETTINGS["KPI_BROKERS"].rpartition(":")[2]) in ports) == (name == "kpi-worker")
        assert MANIFESTS["NetworkPolicy", name]["spec"]["policyTypes"] == ["Ingress", "Egress"]
