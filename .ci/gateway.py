"""A gateway before a simulator, for programs that look at it from outside."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

DEPLOYMENTS = "/api/v1/cloud/deployments"
PATH = DEPLOYMENTS + "/dep_019ec55a2b687b3f94eee77dd77e4b2a"


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


def refused(url, body):
    try:
        call(url, body)
    except urllib.error.HTTPError as error:
        return error.code
    sys.exit(f"{body} was not refused")


def eventually(found, what="it"):
    for _ in range(200):
        try:
            value = found()
            if value:
                return value
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"{what} did not come about in 20 seconds")


class Gateway:
    """Runs in a folder, with these tables in its configuration, for as long as it is entered."""

    def __init__(self, program, folder, tables):
        upstream, proxy, admin = free(), free(), free()
        self.api, self.admin = f"http://127.0.0.1:{proxy}", f"http://127.0.0.1:{admin}"
        (pathlib.Path(folder) / "changegate.toml").write_text(
            f"listen.proxy = '127.0.0.1:{proxy}'\nlisten.admin = '127.0.0.1:{admin}'\n"
            f"upstream.provider = 'qoder-cn'\nupstream.url = 'http://127.0.0.1:{upstream}'\n"
            f"rate_limit.enabled = false\n{tables}"
        )
        self.folder = folder
        self.commands = [
            [program, "simulate", "--listen", f"127.0.0.1:{upstream}"],
            [program, "serve", "--config", "changegate.toml"],
        ]

    def __enter__(self):
        quiet = {"cwd": self.folder, "stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self.processes = [subprocess.Popen(command, **quiet) for command in self.commands]
        try:
            eventually(lambda: call(self.api + PATH), "an answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)

    def sinks_have(self, count):
        """Waits until every sink has all, and has been sent as many records at least."""

        def current():
            sinks = json.loads(call(f"{self.admin}/api/v1/sinks"))["data"]
            return all(sink["state"] == "current" and sink["sent"] >= count for sink in sinks)

        eventually(current, "every sink's last record")
