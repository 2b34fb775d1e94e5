"""What sinks of syslog send, received by rsyslogd: rsyslog.py PROGRAM RSYSLOGD."""

import glob
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from gateway import PATH, Gateway, call, eventually, free, refused

try:
    import ocsf
except ImportError:
    ocsf = None

CHANGES = 30

# By which libraries it speaks TLS, where one is there.
DRIVERS = [
    name for name in ("ossl", "gtls") if glob.glob(f"/usr/lib/*/rsyslog/lmnsd_{name}.so")
]

# What it understood of a message, and the message.
TOLD = (
    "%pri%\\t%protocol-version%\\t%timestamp:::date-rfc3339%\\t%hostname%\\t%app-name%\\t%procid%"
    "\\t%msgid%\\t%$!rfc5424-sd%\\t%msg%\\n"
)


def certificate(folder):
    """An authority, and what it signed for localhost."""
    (folder / "names").write_text("subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
    new = "openssl req -newkey rsa:2048 -nodes -subj"
    for command in (
        f"{new} /CN=authority -x509 -days 2 -keyout ca.key -out ca.pem",
        f"{new} /CN=localhost -keyout server.key -out server.csr",
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile names "
        "-CAcreateserial -out server.pem",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


class Rsyslog:
    """An rsyslogd with a port, and a file, for each name."""

    def __init__(self, program, folder, names, driver):
        self.program, self.folder = program, folder
        self.ports = {name: free() for name in names}
        files = "".join(
            f' defaultNetstreamDriver{key}="{folder}/{file}"'
            for key, file in (
                ("CAFile", "ca.pem"),
                ("CertFile", "server.pem"),
                ("KeyFile", "server.key"),
            )
        )
        lines = [
            f'global(workDirectory="{folder}"{files if driver else ""})',
            'module(load="imtcp")',
            'module(load="mmpstrucdata")',
            f'template(name="told" type="string" string="{TOLD}")',
        ]
        for name, port in self.ports.items():
            tls = (
                f' streamDriver.name="{driver}" streamDriver.mode="1" streamDriver.authMode="anon"'
                if name == "tls"
                else ""
            )
            lines += [
                f'ruleset(name="{name}") {{ action(type="mmpstrucdata")',
                f'action(type="omfile" file="{folder}/{name}.log" template="told") }}',
                f'input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="{name}"{tls})',
            ]
        (folder / "rsyslog.conf").write_text("\n".join(lines) + "\n")

    def __enter__(self):
        command = [self.program, "-n", "-f", "rsyslog.conf", "-i", f"{self.folder}/rsyslog.pid"]
        self.log = open(self.folder / "rsyslog.out", "a")
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.log.close()

    def received(self, name):
        """The messages of a name, by their positions."""
        found = {}
        for line in (self.folder / f"{name}.log").read_text().splitlines():
            *head, kind, data, text = line.split("\t", 8)
            (data_id, data), = json.loads(data).items()
            assert data_id == "changegate@32473" and len(data["log"]) == 16, line
            assert head[1] == "1" and head[3:5] == ["main", "changegate"], line
            assert int(head[0]) in (13 * 8 + 3, 13 * 8 + 4, 13 * 8 + 6), line
            assert head[2].endswith("Z") and int(head[5]) > 1, line
            found[int(data["position"])] = (kind, data, json.loads(text))
        return found


def change(gateway, first):
    for number in range(first, first + CHANGES // 2):
        name = f"n\"u\\m]b=er {number} \u591c\t\U0001f468\u200d\U0001f469"
        call(gateway.api + PATH, {"name": name})
    assert refused(gateway.api + PATH, {"metadata": {"owner_override": "me"}}) == 403
    # Longer than a message may be.
    metadata = {f"key-{number}": f"{first:0500}" for number in range(12)}
    call(gateway.api + PATH, {"metadata": metadata, "description": f"{first:02000}"})
    call(gateway.api + PATH + "/run", {})


def uncut(message, whole):
    """Whether a message is the whole one but for what it says that it leaves out."""
    message = json.loads(json.dumps(message))
    inner = message.get("unmapped") or message["data"]
    outer = whole.get("unmapped") or whole["data"]
    omitted = inner.pop("omitted", [])
    kept = {name: value for name, value in outer.items() if name not in omitted}
    whole = whole | {"unmapped" if "unmapped" in whole else "data": kept}
    if whole.get("type") == "policy.recorded":
        # It has no time but that at which it is sent.
        message["timestamp"] = whole["timestamp"]
    assert message == whole, (message, whole)
    return not omitted


def hold(rsyslog, name, wholes):
    """Holds that every record of a file arrived whole, or says what it lacks."""
    eventually(lambda: rsyslog.received(name).keys() >= wholes.keys(), f"{name}: {wholes.keys()}")
    received = rsyslog.received(name)
    assert received.keys() == wholes.keys(), (received.keys(), wholes.keys())
    cut = 0
    for position, whole in wholes.items():
        kind, data, message = received[position]
        cut += not uncut(message, whole)
        if kind.startswith("change."):
            told = message.get("unmapped") or message["data"]
            own = {"outcome": told["outcome"], "decision": told["decision"]}
            own["id"] = message["metadata"]["uid"] if "unmapped" in message else told["id"]
            assert {key: data[key] for key in own} == own, (data, own)
        assert message.get("type", kind) == kind, (kind, message)
    assert cut == 2, f"{cut} messages of {name} were cut"
    return [message for _kind, _data, message in received.values()]


def main(program, rsyslogd):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        driver = DRIVERS[0] if DRIVERS and shutil.which("openssl") else None
        if driver:
            certificate(path)
        else:
            print("rsyslog is not asked for TLS: it takes rsyslog-openssl and openssl")
        names = ["plain", "events"] + (["tls"] if driver else [])
        rsyslog = Rsyslog(rsyslogd, path, names, driver)
        begin = "[[sink]]\nfrom = 'start'\nname ="
        ports = rsyslog.ports
        tables = (
            "policy.file = 'policy.toml'\n"
            f"{begin} 'plain'\nkind = 'syslog'\nurl = 'tcp://127.0.0.1:{ports['plain']}'\n"
            f"{begin} 'events'\nkind = 'syslog'\nurl = 'tcp://127.0.0.1:{ports['events']}'\n"
            "format = 'ocsf'\n"
            f"{begin} 'file'\nkind = 'file'\npath = 'all.jsonl'\n"
            f"{begin} 'event-file'\nkind = 'file'\npath = 'ocsf.jsonl'\nformat = 'ocsf'\n"
        )
        if driver:
            tables += f"{begin} 'tls'\nkind = 'syslog'\nca_file = 'ca.pem'\n"
            tables += f"url = 'tls://localhost:{ports['tls']}'\n"
        (path / "policy.toml").write_text("[metadata]\nforbidden_keys = ['owner_override']\n")
        with Gateway(os.path.abspath(program), folder, tables) as gateway:
            with rsyslog:
                change(gateway, 0)
            # It is away for a while, and what it may not have read comes once more.
            change(gateway, CHANGES)
            with rsyslog:
                gateway.sinks_have(CHANGES)

                def written(file):
                    lines = map(json.loads, (path / file).read_text().splitlines())
                    return {(at.get("unmapped") or at["data"])["position"]: at for at in lines}

                records = written("all.jsonl")
                for name in names:
                    file = "ocsf.jsonl" if name == "events" else "all.jsonl"
                    messages = hold(rsyslog, name, written(file))
                    if name == "events" and ocsf:
                        ocsf.check("rsyslog", messages)
    ways = "TCP and TLS" if driver else "TCP"
    print(f"rsyslogd has {len(records)} records by {ways}, and those that are changes as OCSF")


main(*sys.argv[1:])
