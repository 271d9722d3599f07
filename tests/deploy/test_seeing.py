"""Alerts, dashboard, scraping and collector: every expression parses and asks for metrics that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from edgewise.observability.names import PINNED, MetricName
from edgewise.observability.prometheus import prometheus_name
from tests.deploy.reading import (
    DEPLOY,
    ROOT,
    load_json,
    load_yaml,
    run,
    tool,
    walk,
)

ALERTS: list[dict[str, Any]] = [
    rule for group in load_yaml(DEPLOY / "prometheus" / "alerts.yaml")["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = load_json(DEPLOY / "grafana" / "dashboards" / "edgewise.json")
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
COMPOSE = load_yaml(DEPLOY / "compose" / "compose.yaml")["services"]
JOBS = {"edgewise-control", "edgewise-nodes", "edgewise-worker", "edgewise-agent"}
SCRAPED = {"job", "instance", "le"}


def series(name: MetricName) -> Iterator[tuple[str, set[str]]]:
    """The series of a metric and their labels, as Prometheus has them."""
    family, labels = prometheus_name(name), {each.replace(".", "_") for each in name.attributes}
    ends = ("_bucket", "_sum", "_count") if name.kind == "histogram" else ("",)
    yield from ((family + end, labels | SCRAPED) for end in ends)


KNOWN = {"up": SCRAPED} | {found: labels for name in PINNED.metrics.values() for found, labels in series(name)}


def faults(expression: str) -> list[str]:
    """What an expression asks for that there is not."""
    parsed = promql_parser.parse(re.sub(r"\$__(rate_interval|range)", "5m", expression))
    found: list[str] = []
    for selector in selectors(parsed):
        labels = KNOWN.get(selector.name or "")
        matchers = selector.matchers.matchers
        found += [selector.name] if labels is None else [each.name for each in matchers if each.name not in labels]
        found += [each.value for each in matchers if each.name == "job" and not _names_a_job(each.value)]
    return found + _foreign_groups(expression)


def _names_a_job(pattern: str) -> bool:
    return any(re.fullmatch(pattern, job) for job in JOBS)


def _foreign_groups(expression: str) -> list[str]:
    """Labels to group by that none of the expression's metrics has."""
    here = set().union(*(KNOWN.get(word, set()) for word in re.findall(r"\w+", expression)))
    groups = (part for match in re.findall(r"\bby \(([^)]*)\)", expression) for part in match.split(","))
    return [label.strip() for label in groups if label.strip() not in here]


def shown_labels(expression: str) -> set[str]:
    """Labels that are left in the result of an expression."""
    if groups := re.findall(r"\bby \(([^)]*)\)", expression):
        return {label.strip() for label in groups[0].split(",")}
    return set().union(*(KNOWN.get(word, set()) for word in re.findall(r"\w+", expression)))


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of series below a node."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for field in ("expr", "lhs", "rhs", "vector_selector", "param"):
        if (child := getattr(node, field, None)) is not None:
            yield from selectors(child)
    for child in getattr(node, "args", None) or ():
        yield from selectors(child)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert faults(rule["expr"]) == []
    notes = rule["annotations"]
    assert {"summary", "action", "runbook_url"} == set(notes)
    assert rule["labels"]["severity"] in {"critical", "warning"}
    runbook = (ROOT / notes["runbook_url"]).read_text(encoding="utf-8")
    assert all(part in runbook for part in ("**Symptom.**", "**Check.**", "**Remedy.**"))
    assert f"{rule['alert']}" in (ROOT / "docs/runbooks/README.md").read_text(encoding="utf-8")


def test_every_runbook_belongs_to_an_alert() -> None:
    told = {Path(rule["annotations"]["runbook_url"]).name for rule in ALERTS}
    assert told == {path.name for path in (ROOT / "docs/runbooks").glob("*.md")} - {"README.md"}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']}-{panel['title']}")
def test_a_panel_asks_for_what_there_is(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert faults(target["expr"]) == []
        legend = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        assert set(legend) <= shown_labels(target["expr"])


def test_the_dashboard_shows_every_metric_that_matters() -> None:
    text = "\n".join(target["expr"] for panel in PANELS for target in panel["targets"])
    families = {prometheus_name(name) for name in PINNED.metrics.values()}
    assert {family for family in families if family not in text} == set()


def test_panels_do_not_lie_on_one_another() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_checks_see_a_wrong_name() -> None:
    assert faults("sum(rate(edgewise_answer_total[5m]))") == ["edgewise_answer_total"]
    assert faults('edgewise_nodes{kind="edge"}') == ["kind"]
    assert faults('up{job="control"}') == ["control"]
    assert faults("sum by (tier) (edgewise_nodes)") == ["tier"]
    assert faults("max(nothing offset 1h) or histogram_quantile(0.5, other_bucket)") == ["nothing", "other_bucket"]


@pytest.mark.parametrize("command", [("check", "rules"), ("check", "config", "--syntax-only")], ids=" ".join)
def test_promtool_takes_rules_and_configuration(command: tuple[str, ...]) -> None:
    file = {"rules": "alerts.yaml", "config": "prometheus.yaml"}[command[1]]
    done = run(tool("promtool"), *command, DEPLOY / "prometheus" / file)
    assert done.returncode == 0, done.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    file = Path(__file__).with_name("alerts_test.yaml")
    done = run(tool("promtool"), "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_by_the_names_that_rules_and_compose_use() -> None:
    config = load_yaml(DEPLOY / "prometheus" / "prometheus.yaml")
    scrapes = {each["job_name"]: each for each in config["scrape_configs"]}
    assert set(scrapes) <= JOBS
    assert scrapes["edgewise-control"]["dns_sd_configs"][0]["names"] == ["control"]
    token = scrapes["edgewise-control"]["authorization"]["credentials_file"]
    assert token == f"/run/secrets/{COMPOSE['prometheus']['secrets'][0]}"
    assert scrapes["edgewise-nodes"]["static_configs"][0]["targets"] == ["collector:8889"]
    mounted = {volume.split(":")[1] for volume in COMPOSE["prometheus"]["volumes"]}
    assert {f"/etc/edgewise/{name}" for name in (*config["rule_files"], "prometheus.yaml")} <= mounted


def test_the_collector_takes_what_processes_send_and_offers_what_prometheus_scrapes() -> None:
    config = load_yaml(DEPLOY / "otel" / "collector.yaml")
    service = config["service"]
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in service["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind])
    assert set(service["extensions"]) == set(config["extensions"])
    assert set(service["pipelines"]) == {"traces", "metrics"}
    assert config["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == "0.0.0.0:4318"
    assert COMPOSE["control"]["environment"]["EDGEWISE_OTLP_ENDPOINT"] == "http://collector:4318"
    assert config["exporters"]["prometheus"]["endpoint"].endswith(":8889")
    assert all(pipeline["processors"][0] == "memory_limiter" for pipeline in service["pipelines"].values())
    (dropped,) = next(walk(config["processors"]["filter/nodes"], "metric"))
    assert 'resource.attributes["service.name"] == "edgewise-control"' in dropped


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    (source,) = load_yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (variable,) = DASHBOARD["templating"]["list"]
    assert variable["current"]["value"] == source["uid"]
    (provider,) = load_yaml(DEPLOY / "grafana/provisioning/dashboards/edgewise.yaml")["providers"]
    assert any(volume.split(":")[1] == provider["options"]["path"] for volume in COMPOSE["grafana"]["volumes"])
