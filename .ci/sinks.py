"""Deliveries verified by standardwebhooks, as a receiver of webhooks does it."""

import base64
import http.server
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

PATH = "/api/v1/cloud/deployments/dep_019ec55a2b687b3f94eee77dd77e4b2a"

CHANGES = 20


def free():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def call(url, body=None):
    asked = urllib.request.Request(url, body and json.dumps(body).encode())
    asked.add_header("authorization", "Bearer pt-alice-0123456789")
    asked.add_header("content-type", "application/json")
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read()


def eventually(found):
    for _ in range(200):
        try:
            value = found()
            if value:
                return value
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("it did not come about in 20 seconds")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what comes, and refuses each tenth for now."""

    protocol_version = "HTTP/1.1"
    kept = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.kept.append((dict(self.headers), body))
        self.send_response(503 if len(self.kept) % 10 == 0 else 204)
        self.send_header("retry-after", "1")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def check(keys):
    former, new, other = (Webhook(key) for key in keys)
    ids, changes = {}, 0
    for headers, body in Receiver.kept:
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
        ids.setdefault(headers["webhook-id"], message["data"]["position"])
        changes += message["type"] == "change.applied"
    positions = list(ids.values())
    assert positions == sorted(set(positions)), positions
    assert len(Receiver.kept) > len(ids), "what was refused came again, under the same id"
    return changes


def main(program):
    program = os.path.abspath(program)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys = [
        "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode() for size in (24, 64, 32)
    ]
    with tempfile.TemporaryDirectory() as folder:
        upstream, proxy, admin = free(), free(), free()
        secret = pathlib.Path(folder) / "hook.secret"
        secret.touch(0o600)
        secret.write_text("\n".join(keys[:2]))
        (pathlib.Path(folder) / "changegate.toml").write_text(
            f"listen.proxy = '127.0.0.1:{proxy}'\nlisten.admin = '127.0.0.1:{admin}'\n"
            f"upstream.provider = 'qoder-cn'\nupstream.url = 'http://127.0.0.1:{upstream}'\n"
            "rate_limit.enabled = false\n[[sink]]\nname = 'hook'\nkind = 'webhook'\n"
            f"url = 'http://127.0.0.1:{server.server_port}/hook'\n"
            "secret_file = 'hook.secret'\nfrom = 'start'\n"
        )
        quiet = {"cwd": folder, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        listen = f"127.0.0.1:{upstream}"
        both = [
            subprocess.Popen([program, "simulate", "--listen", listen], **quiet),
            subprocess.Popen([program, "serve", "--config", "changegate.toml"], **quiet),
        ]
        try:
            api = f"http://127.0.0.1:{proxy}{PATH}"
            eventually(lambda: call(api))
            for number in range(CHANGES):
                call(api, {"name": f"number {number}"})

            def current():
                sinks = json.loads(call(f"http://127.0.0.1:{admin}/api/v1/sinks"))["data"]
                return sinks[0]["state"] == "current" and sinks[0]["sent"] >= CHANGES

            eventually(current)
        finally:
            for process in both:
                process.terminate()
            for process in both:
                process.wait(10)
    changes = check(keys)
    assert changes >= CHANGES, changes
    print(f"standardwebhooks verifies {len(Receiver.kept)} deliveries by both secrets")


main(sys.argv[1])
