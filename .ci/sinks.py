"""Deliveries verified by standardwebhooks, as a receiver of webhooks does it, and events of OCSF
held against its schema."""

import base64
import http.server
import json
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import threading

import ocsf
from gateway import DEPLOYMENTS, PATH, Gateway, call, refused
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

CHANGES = 20


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what comes by its path, and refuses each tenth for now."""

    protocol_version = "HTTP/1.1"
    hook, ocsf = [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        kept = getattr(self, self.path[1:])
        kept.append((dict(self.headers), body))
        self.send_response(503 if len(kept) % 10 == 0 else 204)
        self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def verify(kept, keys):
    """Verifies deliveries; gives the messages, each once."""
    former, new, other = (Webhook(key) for key in keys)
    ids, messages = {}, []
    for headers, body in kept:
        # Both secrets sign while one takes the other's place; no third one does.
        for verifier in (former, new):
            verifier.verify(body, headers)
        for verifier, text in ((other, body), (new, body + b" ")):
            try:
                verifier.verify(text, headers)
            except WebhookVerificationError:
                continue
            sys.exit("what was altered was verified")
        message = json.loads(body)
        assert {"type", "timestamp", "data"} == set(message), message
        if headers["webhook-id"] not in ids:
            data = message["data"]
            ids[headers["webhook-id"]] = data.get("unmapped", data)["position"]
            messages.append(message)
    positions = list(ids.values())
    assert positions == sorted(set(positions)), positions
    assert len(kept) > len(ids), "what was refused came again, under the same id"
    return messages


def change(api):
    """Changes of every operation, and every end that comes about by itself."""
    path = api + PATH
    for number in range(CHANGES):
        call(path, {"name": f"number {number}"})
    assert refused(path, {"metadata": {"owner_override": "me"}}) == 403
    assert refused(path, {"initial_events": 7}) == 400
    assert refused(path, {"name": "n", "description": []}) == 400
    for verb in ("pause", "unpause", "run", "archive"):
        call(f"{path}/{verb}", {})
    found = json.loads(call(path))
    kept = ("agent", "environment_id", "initial_events", "name")
    call(api + DEPLOYMENTS, {name: found[name] for name in kept})


def hold_events(program, folder):
    """Holds what two sinks were sent, and an export, against the schema, and against each other."""
    hooked = [json.loads(body)["data"] for _headers, body in Receiver.ocsf]
    filed = list(map(json.loads, (pathlib.Path(folder) / "ocsf.jsonl").read_text().splitlines()))
    export = [program, "audit", "export", "--format", "ocsf", "--config", "changegate.toml"]
    export = subprocess.run(export, cwd=folder, capture_output=True, text=True, check=True).stdout
    exported = list(map(json.loads, export.splitlines()))
    for where, events in (("webhook", hooked), ("file", filed), ("export", exported)):
        ocsf.check(where, events)
    uids = [{event["metadata"]["uid"] for event in events} for events in (hooked, filed, exported)]
    assert uids[0] == uids[1] == uids[2] and len(uids[0]) == len(filed) == len(exported)
    return len(exported)


def main(program):
    program = os.path.abspath(program)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = [
        "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode() for size in (24, 64, 32)
    ]
    with tempfile.TemporaryDirectory() as folder:
        secret = pathlib.Path(folder) / "hook.secret"
        secret.touch(0o600)
        secret.write_text("\n".join(keys[:2]))
        (pathlib.Path(folder) / "policy.toml").write_text(
            "[metadata]\nforbidden_keys = ['owner_override']\n"
        )
        url = f"http://127.0.0.1:{server.server_port}"
        tables = (
            "policy.file = 'policy.toml'\n"
            "[[sink]]\nname = 'hook'\nkind = 'webhook'\nsecret_file = 'hook.secret'\n"
            f"url = '{url}/hook'\nfrom = 'start'\n"
            "[[sink]]\nname = 'events'\nkind = 'webhook'\nsecret_file = 'hook.secret'\n"
            f"url = '{url}/ocsf'\nfrom = 'start'\nformat = 'ocsf'\n"
            "[[sink]]\nname = 'lines'\nkind = 'file'\npath = 'ocsf.jsonl'\nfrom = 'start'\n"
            "format = 'ocsf'\n"
        )
        with Gateway(program, folder, tables) as gateway:
            change(gateway.api)
            gateway.sinks_have(CHANGES)
            events = hold_events(program, folder)
    hook, events_hook = (
        [message["type"] for message in verify(kept, keys)]
        for kept in (Receiver.hook, Receiver.ocsf)
    )
    assert hook.count("change.applied") >= CHANGES, hook
    assert [kind for kind in hook if kind.startswith("change.")] == events_hook, events_hook
    count = len(Receiver.hook) + len(Receiver.ocsf)
    print(f"standardwebhooks verifies {count} deliveries by both secrets")
    print(f"OCSF {ocsf.VERSION} takes {events} events, from two sinks and an export")


main(sys.argv[1])
