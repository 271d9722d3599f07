"""The Helm chart: rendered by helm itself, held against Kubernetes' schemas, our command line and our settings."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from control_plane.accounts.first_keys import read_first_keys
from control_plane.policy_bundles.signing_key import read_signing_key
from tests.deploy.reading import (
    DEPLOY,
    ROOT,
    faulty_settings,
    load_json,
    load_yaml,
    parse_command,
    run,
    walk,
)

CHART = DEPLOY / "helm" / "edgewise"
KUBERNETES = ("1.27", "1.37")
Render = Callable[[str], dict[str, dict[str, Any]]]
LEAST: dict[str, Any] = {"servers": {"existingSecret": "servers"}}
MOST: dict[str, Any] = {
    "images": {"registry": "registry.example/team", "pullSecrets": [{"name": "pull"}]},
    "servers": {
        "databaseUrl": "postgresql://u:p@host/edgewise",
        "logUrl": "redis://log:6379/0",
        "brokerUrl": "amqp://broker",
        "metricsToken": "token",
    },
    "settings": {"EDGEWISE_STREAM_TTL_S": 7200},
    "models": {
        "control": ["/models/a"],
        "worker": "/models/a",
        "volume": {"persistentVolumeClaim": {"claimName": "m"}},
    },
    "control": {"drainSeconds": 60, "podAnnotations": {"a": "b"}, "nodeSelector": {"disk": "ssd"}},
    "worker": {"gpus": 1, "runtimeClassName": "nvidia", "settings": {"EDGEWISE_WORKER_PRECISION": "bfloat16"}},
    "ingress": {"enabled": True, "host": "edgewise.example", "tlsSecret": "tls"},
    "observability": {"otlpEndpoint": "http://collector:4318"},
    "monitoring": {"serviceMonitor": True, "prometheusRule": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]},
}
CASES = {"least": LEAST, "most": MOST}
BOTH = pytest.mark.parametrize("case", CASES)


def helm_template(helm: Path, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return run(helm, "template", "try", CHART, "--values", file, "--namespace", "edgewise")


@pytest.fixture(scope="module")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Case → what helm makes of the chart, by `Kind/name`."""
    made: dict[str, dict[str, dict[str, Any]]] = {}

    def rendered(case: str) -> dict[str, dict[str, Any]]:
        if case not in made:
            done = helm_template(helm, CASES[case], tmp_path_factory.mktemp(case))
            assert done.returncode == 0, done.stderr
            objects = [each for each in yaml.safe_load_all(done.stdout) if each]
            made[case] = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}
        return made[case]

    return rendered


@BOTH
def test_helm_lint_finds_nothing(helm: Path, case: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(CASES[case]))
    done = run(helm, "lint", "--strict", CHART, "--values", tmp_path / "values.yaml")
    assert done.returncode == 0, done.stdout


@BOTH
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(render: Render, case: str, version: str) -> None:
    for each in render(case).values():
        if not each["apiVersion"].startswith("monitoring.coreos.com/"):  # the operator's own resources: no schema here
            kubernetes_validate.validate(each, version, strict=True)


def containers(objects: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    pods = [each["spec"]["template"]["spec"] for name, each in objects.items() if name.startswith("Deployment/")]
    return {each["name"]: each for pod in pods for each in pod["containers"]}


@BOTH
def test_containers_start_what_there_is_with_settings_that_there_are(render: Render, case: str) -> None:
    objects = render(case)
    for role, container in containers(objects).items():
        assert parse_command(container["args"]) == role
        given = {each["name"]: each.get("value", "a-name") for each in container["env"]}
        assert faulty_settings(role, given) == []
        for source in container["envFrom"]:
            name = source.get("configMapRef", {}).get("name")
            data = objects[f"ConfigMap/{name}"]["data"] if name else {}
            assert [each for each in faulty_settings(role, data) if not _of_the_other(role, each)] == []


def _of_the_other(role: str, name: str) -> bool:
    """Control plane and jobs share one map; each reads its own."""
    other = {"control": "jobs", "jobs": "control"}[role]
    return not faulty_settings(other, {name: "1"}) or name in {"EDGEWISE_PUBLIC_BASE_URL", "EDGEWISE_MODELS"}


@BOTH
def test_no_pod_may_do_more_than_it_needs(render: Render, case: str) -> None:
    for name, each in render(case).items():
        if not name.startswith("Deployment/"):
            continue
        pod = each["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]}


@BOTH
def test_a_pod_lives_until_its_drain_is_over(render: Render, case: str) -> None:
    objects = render(case)
    settings = objects["ConfigMap/try-edgewise"]["data"]
    control = objects["Deployment/try-edgewise-control"]["spec"]["template"]["spec"]
    pre_stop = control["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pre_stop[0] == "sleep"
    needed = float(pre_stop[1]) + float(settings["EDGEWISE_DRAIN_S"])
    assert control["terminationGracePeriodSeconds"] >= needed + 15
    jobs = objects["Deployment/try-edgewise-jobs"]["spec"]["template"]["spec"]
    assert jobs["terminationGracePeriodSeconds"] >= float(settings["EDGEWISE_JOBS_DRAIN_S"]) + 15


def test_without_the_database_a_pod_stays_ready(render: Render) -> None:
    control = containers(render("least"))["control"]
    assert control["readinessProbe"]["httpGet"]["path"] == "/readyz?answers=1"
    assert control["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_workers_see_the_node_key_alone(render: Render) -> None:
    pod = render("least")["Deployment/try-edgewise-worker"]["spec"]["template"]["spec"]
    (volume,) = [each["secret"] for each in pod["volumes"] if "secret" in each]
    assert volume["items"] == [{"key": "node", "path": "node"}]
    words = pod["containers"][0]["args"]
    assert words[words.index("--key-file") + 1] == "/run/keys/node"


def test_the_first_keys_that_it_makes_are_taken_by_a_control_plane(render: Render, tmp_path: Path) -> None:
    secret = render("least")["Secret/try-edgewise-first-keys"]["stringData"]
    (tmp_path / "keys.json").write_text(secret["keys.json"])
    keys = read_first_keys(tmp_path)
    assert keys is not None
    assert keys.node == secret["node"]
    (tmp_path / "policy-signing.key").write_text(secret["policy-signing.key"])
    assert read_signing_key(tmp_path / "policy-signing.key") is not None
    assert keys.base_url == render("least")["ConfigMap/try-edgewise"]["data"]["EDGEWISE_PUBLIC_BASE_URL"]


def test_a_secret_of_the_operators_is_mounted_and_the_chart_makes_no_keys(helm: Path, tmp_path: Path) -> None:
    done = helm_template(helm, LEAST | {"firstKeys": {"existingSecret": "mine"}}, tmp_path)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    volumes = [each["secret"] for at in objects for found in walk(at, "volumes") for each in found if "secret" in each]
    assert [each["secretName"] for each in volumes] == ["mine", "mine"]
    assert not any(each["kind"] == "Secret" and "keys" in each["metadata"]["name"] for each in objects)


def test_the_signing_key_of_the_upgrade_notes_is_taken(tmp_path: Path) -> None:
    commands = re.findall(r"\$ (printf 'ed25519-private.*)", (DEPLOY / "README.md").read_text())
    (command,) = commands
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    assert read_signing_key(tmp_path / "policy-signing.key") is not None


def test_secrets_stand_in_secrets_alone(render: Render) -> None:
    for name, each in render("most").items():
        text = yaml.safe_dump(each)
        assert name.startswith("Secret/") or not re.search(r"ek_[A-Za-z0-9]{43}|ed25519-private|u:p@host", text), name


def test_the_ingress_keeps_long_answers_and_asks_for_tls(render: Render) -> None:
    ingress = render("most")["Ingress/try-edgewise"]
    notes = {key.rpartition("/")[2]: value for key, value in ingress["metadata"]["annotations"].items()}
    assert (notes["proxy-buffering"], notes["proxy-read-timeout"]) == ("off", "3600")
    assert ingress["spec"]["tls"] == [{"hosts": ["edgewise.example"], "secretName": "tls"}]
    assert not any(path.startswith(("/metrics", "/readyz")) for path in walk(ingress, "path"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "servers.databaseUrl"),
        (LEAST | {"ingress": {"enabled": True, "host": "a.example"}}, "ingress.tlsSecret"),
        (LEAST | {"control": {"replicas": 0}}, "replicas"),
        (LEAST | {"settings": {"PATH": "x"}}, "invalid propertyName 'PATH'"),
        (LEAST | {"contol": {}}, "contol"),
        (
            {"servers": MOST["servers"] | {"metricsToken": ""}, "monitoring": {"serviceMonitor": True}},
            "servers.metricsToken",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_told(helm: Path, values: dict[str, Any], says: str, tmp_path: Path) -> None:
    done = helm_template(helm, values, tmp_path)
    assert done.returncode != 0
    assert says in done.stderr


@pytest.mark.parametrize("values", [load_yaml(CHART / "values.yaml"), *CASES.values()])
def test_values_fit_their_schema(values: dict[str, Any]) -> None:
    jsonschema_rs.validator_for(load_json(CHART / "values.schema.json")).validate(values)


def test_every_value_has_a_schema_and_the_other_way_round() -> None:
    def shape(schema: dict[str, Any]) -> dict[str, Any]:
        return {name: shape(each) for name, each in schema.get("properties", {}).items()}

    def same(values: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return set(values) == set(wanted) and all(same(values[name], each) for name, each in wanted.items() if each)

    schema = shape(load_json(CHART / "values.schema.json"))
    schema.pop("global")
    assert same(load_yaml(CHART / "values.yaml"), schema)


def test_its_alerts_are_those_of_prometheus() -> None:
    assert (CHART / "alerts.yaml").read_bytes() == (DEPLOY / "prometheus" / "alerts.yaml").read_bytes()


def test_its_version_is_the_projects() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), flags=re.M)
    assert version is not None
    assert load_yaml(CHART / "Chart.yaml")["appVersion"] == version.group(1)
