"""Renders deploy/helm/changegate with few values and with all, and checks what comes out."""
import os
import pathlib
import subprocess
import sys
import tempfile

import helm_python
import kubernetes_validate
import yaml

FOLDER = pathlib.Path("deploy/helm/changegate")
PROGRAM = sys.argv[1]


def check_configuration(data):
    """Has `changegate check` read the files as a pod would."""
    variables = {
        "CHANGEGATE_LISTEN__PROXY": "0.0.0.0:8080",
        "CHANGEGATE_LISTEN__ADMIN": "0.0.0.0:8081",
        "CHANGEGATE_NODE__NAME": "demo-changegate-5d9c7b6f4d-x2x7k",
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in data.items():
            pathlib.Path(folder, name).write_text(text)
        if "policy.toml" in data:
            variables["CHANGEGATE_POLICY__FILE"] = f"{folder}/policy.toml"
        command = [PROGRAM, "check", "--config", f"{folder}/changegate.toml"]
        subprocess.run(command, env={**os.environ, **variables}, check=True)


def check(chart, case):
    """Validates every document of one rendering."""
    values = yaml.safe_load((FOLDER / "ci" / f"{case}.yaml").read_text())
    chart.validate_schema(values)
    kinds = []
    for name, text in chart.render(values=values, name="demo").items():
        if name.endswith(".txt") or "/_" in name:
            continue
        for document in filter(None, yaml.safe_load_all(text)):
            kinds.append(document["kind"])
            if document["kind"] != "ServiceMonitor":
                kubernetes_validate.validate(document, "1.37", strict=True)
            if document["kind"] == "ConfigMap":
                check_configuration(document["data"])
    print(f"the chart with {case}.yaml is valid:", ", ".join(sorted(kinds)))
    return values


def refuses(deed, why):
    """Fails where something that should be refused is not."""
    try:
        deed()
    except helm_python.HelmError:
        return
    sys.exit(f"the chart takes {why}")


with helm_python.Chart.load(FOLDER) as loaded:
    few = check(loaded, "least")
    check(loaded, "all")
    refuses(lambda: loaded.validate_schema({**few, "replica": 2}), "an unknown key")
    refuses(lambda: loaded.render(values={}, name="demo"), "an admin listener without a token")
