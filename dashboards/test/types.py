#!/usr/bin/env python3
"""Judges the dashboards by the types that Grafana publishes: as a whole, and every panel by its own plugin's.

    types.py FOLDER      a folder with node_modules that holds @grafana/schema and typescript
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PLUGINS = {
    "timeseries": ("TimeSeries", True),
    "stat": ("Stat", False),
    "heatmap": ("Heatmap", True),
    "table": ("Table", False),
    "state-timeline": ("StateTimeline", True),
}
# In JSON an enumeration is the text of one of its values; everything else stays as it is.
PLAIN = """
type Plain<T> = unknown extends T ? T : T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (...args: never[]) => unknown ? T : T extends (infer I)[] ? Plain<I>[] : { [K in keyof T]: Plain<T[K]> };
// What Prometheus adds to a query. Grafana types only what all data sources share.
interface Query extends Plain<DataQuery> {
  expr: string; legendFormat?: string; instant?: boolean; range?: boolean; format?: 'time_series' | 'table' | 'heatmap';
}
type Board = Omit<Plain<Dashboard>, 'annotations'>
  & { annotations: { list: (Omit<Plain<AnnotationQuery>, 'target'> & { target: Query })[] } };
"""


def program(documents):
    """One file of TypeScript that compiles only if every dashboard is what it should be."""
    lines = ["import type { AnnotationQuery, Dashboard, DataQuery } from '@grafana/schema';"]
    for folder, (name, _) in PLUGINS.items():
        path = f"./node_modules/@grafana/schema/dist/esm/raw/composable/{folder.replace('-', '')}/panelcfg/x/{name}PanelCfg_types.gen"
        lines.append(f"import type * as {name} from '{path}';")
    lines.append(PLAIN)
    for number, document in enumerate(documents):
        lines.append(f"export const board{number}: Board = {json.dumps(document)};")
        for panel in document["panels"]:
            lines.append(f"export const targets{number}_{panel['id']}: Query[] = {json.dumps(panel['targets'])};")
            name, custom = PLUGINS[panel["type"]]
            here = f"{number}_{panel['id']}"
            lines.append(f"export const options{here}: Partial<Plain<{name}.Options>> = {json.dumps(panel['options'])};")
            if custom:
                fields = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
                lines.append(f"export const custom{here}: Partial<Plain<{name}.FieldConfig>> = {fields};")
    return "\n".join(lines) + "\n"


def compiles(folder, documents):
    path = folder / "dashboards.ts"
    path.write_text(program(documents))
    line = ["node", "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--module", "esnext",
            "--moduleResolution", "bundler", "--target", "es2022", path.name]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout


def main():
    folder = Path(sys.argv[1])
    documents = [json.loads(path.read_text()) for path in sorted(HERE.glob("*.json"))]
    good, said = compiles(folder, documents)
    if not good:
        print(said, file=sys.stderr)
        return 1
    # A judge that accepts everything is none.
    for spoil in (
        lambda panel: panel["options"].update(legnd={}),
        lambda panel: panel["fieldConfig"]["defaults"].update(unit=7),
        lambda panel: panel["fieldConfig"]["defaults"]["thresholds"].update(mode="absolut"),
        lambda panel: panel["gridPos"].update(width=3),
    ):
        wrong = json.loads(json.dumps(documents[:1]))
        spoil(wrong[0]["panels"][0])
        if compiles(folder, wrong)[0]:
            print("a spoilt dashboard compiles", file=sys.stderr)
            return 1
    print(f"types: {len(documents)} dashboards and {sum(len(d['panels']) for d in documents)} panels compile, 4 spoilt ones do not")
    return 0


if __name__ == "__main__":
    sys.exit(main())
