#!/usr/bin/env python3
"""Makes rules/ and the dashboards from source/, so that a line in a panel and the alert about it are one number.

    generate.py           write them anew
    generate.py --check   say what is not as it would be written
"""

import json
import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Where runbooks/ is served; replace it by an address that your people reach at night.
RUNBOOKS = "https://synod.example.com/runbooks"
NOTICE = "# Made by generate.py from source/; change it there.\n"
CHOICES = 'cluster=~"$cluster",region=~"$region",node=~"$node"'
SERIES = {
    "@3": 'job="synod",cluster="c",region="eu",node="n3"',
    "@2": 'job="synod",cluster="c",region="us",node="n2"',
    "@": 'job="synod",cluster="c",region="us",node="n1"',
}


def source(name):
    return tomllib.loads((HERE / "source" / f"{name}.toml").read_text())


def number(value):
    return f"{value:g}" if isinstance(value, float) else str(value)


def fill(text, thresholds):
    """Puts thresholds in; a name that does not exist is a fault. Prometheus' own {{…}} and {label=…} stay."""

    def one(found):
        if found[1] not in thresholds:
            raise SystemExit(f"{found[1]} is no threshold: {text}")
        return number(thresholds[found[1]])

    return re.sub(r"(?<!\{)\{(\w+)\}(?!\})", one, text)


def quoted(text):
    """A YAML scalar: one line in double quotes."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def recording():
    lines = [NOTICE + "groups:", "  - name: synod-recording", "    rules:"]
    for record in source("recording")["record"]:
        for window in record.get("windows", [""]):
            lines.append(f"      - record: {record['name'].replace('{window}', window)}")
            lines.append(f"        expr: {quoted(record['expr'].replace('{window}', window))}")
            if labels := record.get("labels"):
                lines.append("        labels:")
                lines += [f"          {name}: {json.dumps(value)}" for name, value in labels.items()]
    return "\n".join(lines) + "\n"


def alerts():
    file = source("alerts")
    lines = [NOTICE + "groups:", "  - name: synod-alerts", "    rules:"]
    for alert in file["alert"]:
        lines += [
            f"      - alert: {alert['name']}",
            f"        expr: {quoted(fill(alert['expr'], file['thresholds']))}",
            f"        for: {alert['for']}",
            "        labels:",
            f"          severity: {alert['severity']}",
            "        annotations:",
            f"          summary: {quoted(alert['summary'])}",
            f"          runbook_url: {RUNBOOKS}/{alert['name']}.md",
        ]
    return "\n".join(lines) + "\n"


def prometheus_rule():
    """The same rules for the Prometheus operator."""
    head = (
        "# Made by dashboards/generate.py; change dashboards/source/.\n"
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: synod\n  namespace: synod\n"
        "  labels:\n    app.kubernetes.io/name: synod\n    app.kubernetes.io/part-of: synod\nspec:\n  groups:\n"
    )
    groups = (text.split("groups:\n", 1)[1] for text in (recording(), alerts()))
    return head + "".join("  " + line + "\n" for text in groups for line in text.splitlines())


def series(text):
    for short, labels in SERIES.items():
        text = re.sub(rf"{re.escape(short)}(?=[,}}])", labels, text)
    return text


def minutes(text):
    unit = {"s": 1 / 60, "m": 1, "h": 60}[text[-1]]
    return float(text[:-1]) * unit


def rule_tests():
    """For every alert: series on which it fires, and series on which it does not."""
    lines = [NOTICE + "rule_files:", "  - ../recording.yaml", "  - ../alerts.yaml", "evaluation_interval: 1m", "tests:"]
    for alert in source("alerts")["alert"]:
        # Long enough for windows and for `for`, short enough for the series.
        when = int(minutes(alert["for"])) + 16
        if alert["name"] in ("SynodPeerSlower",):
            when = 118
        if alert["name"] == "SynodPeerRefused":
            when = 10
        for kind in ("fires", "silent"):
            lines += [f"  - name: {alert['name']} {kind}", "    interval: 1m", "    input_series:"]
            for name, values in alert[kind].items():
                lines += [f"      - series: {json.dumps(series(name))}", f"        values: {json.dumps(values)}"]
            lines += [
                "    promql_expr_test:",
                f"      - expr: 'count(ALERTS{{alertname=\"{alert['name']}\",alertstate=\"firing\"}}) > bool 0 or vector(0)'",
                f"        eval_time: {when}m",
                "        exp_samples:",
                f"          - value: {1 if kind == 'fires' else 0}",
            ]
            lines.append("            labels: '{}'")
    return "\n".join(lines) + "\n"


def variable(name, label, query, multi):
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
        "allValue": ".*" if multi else None,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if multi else None,
        "hide": 0,
        "options": [],
        "regex": "",
        "skipUrlSync": False,
    }


def strip(value):
    """Without what is None: Grafana's types know optional fields, not null ones."""
    if isinstance(value, dict):
        return {key: strip(item) for key, item in value.items() if item is not None}
    return [strip(item) for item in value] if isinstance(value, list) else value


def steps(panel, thresholds):
    base = {"color": "green", "value": 0}
    if "enough" in panel:
        return [{"color": "red", "value": -1}, {"color": "green", "value": panel["enough"]}]
    if name := panel.get("low"):
        return [{"color": "red", "value": 0}, {"color": "green", "value": thresholds[name]}]
    if name := panel.get("high") or panel.get("line"):
        return [base, {"color": "red", "value": thresholds[name]}]
    return [base]


def defaults(panel, thresholds):
    """Unit, thresholds and the look of values."""
    kind, custom = panel["type"], {}
    if kind == "timeseries":
        custom = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.get("stack") else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.get("stack") else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.get("line") else "off"},
        }
    elif kind == "state-timeline":
        custom = {"lineWidth": 0, "fillOpacity": 70}
    result = {
        "unit": panel.get("unit", "none"),
        "decimals": panel.get("decimals"),
        "custom": custom,
        "color": {"mode": "thresholds" if kind in ("stat", "state-timeline") else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps(panel, thresholds)},
        "mappings": [],
        "min": 0 if kind == "timeseries" else None,
    }
    if states := panel.get("states"):
        colours = {"0": "light-red", "1": "green"} if "no" in states.values() else {"0": "text", "1": "blue"}
        options = {value: {"text": text, "color": colours[value], "index": int(value)} for value, text in states.items()}
        result["mappings"] = [{"type": "value", "options": options}]
    return result


def options(panel):
    kind = panel["type"]
    if kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none" if panel.get("text") else "area",
            "textMode": panel.get("text", "auto"),
            "justifyMode": "auto",
            "orientation": "auto",
        }
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind == "state-timeline":
        return {
            "mergeValues": True,
            "showValue": "auto",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }
    if kind == "heatmap":
        return {
            "calculate": False,
            "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": False},
            "yAxis": {"unit": panel["unit"], "axisPlacement": "left"},
            "cellGap": 1,
            "legend": {"show": True},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        }
    return {"showHeader": True, "cellHeight": "sm"}


def panel(number, spec, place, thresholds):
    kind = spec["type"]
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "expr": fill(expression.replace("%", CHOICES), thresholds),
            "legendFormat": legend,
            "instant": kind == "table",
            "range": kind != "table",
            "format": {"table": "table", "heatmap": "heatmap"}.get(kind, "time_series"),
        }
        for index, (expression, legend) in enumerate(spec["queries"])
    ]
    result = {
        "id": number,
        "title": spec["title"],
        "description": spec.get("help", ""),
        "type": kind,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": defaults(spec, thresholds), "overrides": []},
        "options": options(spec),
        "transformations": [],
        "transparent": False,
    }
    if columns := spec.get("columns"):
        keep = "|".join([*columns, "Value"])
        result["transformations"] = [{"id": "filterFieldsByName", "options": {"include": {"pattern": f"^({keep})$"}}}]
    return result


def board(spec, thresholds, all_boards):
    panels, x, y, height = [], 0, 0, 0
    for number, item in enumerate(spec["panel"], 1):
        width, tall = item["w"], item.get("h", 4 if item["type"] == "stat" else 8)
        if x + width > 24:
            x, y, height = 0, y + height, 0
        panels.append(panel(number, item, {"x": x, "y": y, "w": width, "h": tall}, thresholds))
        x, height = x + width, max(height, tall)
    note = lambda name, colour, expression: {
        "name": name,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "enable": True,
        "iconColor": colour,
        "target": {"refId": "Annotation", "expr": expression},
    }
    document = {
        "uid": spec["uid"],
        "title": spec["title"],
        "description": spec["about"],
        "tags": ["synod"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"title": other["title"], "type": "link", "url": f"/d/{other['uid']}", "icon": "dashboard", "keepTime": True,
             "includeVars": True, "targetBlank": False, "asDropdown": False, "tags": [], "tooltip": other["about"]}
            for other in all_boards if other is not spec
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1,
                 "multi": False, "includeAll": False, "hide": 0, "options": [], "regex": "", "skipUrlSync": False},
                variable("cluster", "Cluster", "label_values(synod_build_info, cluster)", False),
                variable("region", "Region", 'label_values(synod_build_info{cluster=~"$cluster"}, region)', True),
                variable("node", "Node", 'label_values(synod_build_info{cluster=~"$cluster",region=~"$region"}, node)', True),
            ]
        },
        "annotations": {
            "list": [
                note("Leader changes", "blue", 'max(changes(synod_leader{cluster=~"$cluster"}[1m])) > 0'),
                note("Alerts", "red", 'ALERTS{alertstate="firing",severity="critical",cluster=~"$cluster"}'),
            ]
        },
        "panels": panels,
    }
    return json.dumps(strip(document), indent=2, ensure_ascii=False) + "\n"


def outputs():
    """Every generated file: its path and its text."""
    boards, thresholds = source("boards")["board"], source("alerts")["thresholds"]
    files = {
        "rules/recording.yaml": recording(),
        "rules/alerts.yaml": alerts(),
        "rules/tests/alerts.yaml": rule_tests(),
        "../deploy/components/monitoring/prometheusrule.yaml": prometheus_rule(),
    }
    for spec in boards:
        files[f"{spec['uid']}.json"] = board(spec, thresholds, boards)
    return files


def main():
    files, faults = outputs(), []
    for name, text in files.items():
        path = HERE / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text() != text:
                faults.append(f"{name} is not what generate.py writes")
        else:
            path.write_text(text)
    faults += [f"{path.name} belongs to no dashboard" for path in HERE.glob("*.json") if path.name not in files]
    for alert in source("alerts")["alert"]:
        if not (HERE / "runbooks" / f"{alert['name']}.md").exists():
            faults.append(f"{alert['name']} has no runbook")
    known = {alert["name"] for alert in source("alerts")["alert"]}
    faults += [f"runbooks/{path.name} is about no alert" for path in (HERE / "runbooks").glob("*.md") if path.stem not in known]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"generated: {len(files)} files, {len(known)} alerts, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
