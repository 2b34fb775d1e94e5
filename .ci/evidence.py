"""A log read by public verifiers through the admin API: evidence.py PROGRAM [READER], where READER
is what .ci/evidence.go is built into."""

import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

from gateway import PATH, Gateway, call, eventually

try:
    import witness as witnesses
    from tlog_scales import backend, reader, signing, tiles
except ImportError:
    reader = None

LOG = "/api/v1/log"

# More than one tile holds, and a part of another.
CHANGES = 300

# What is forged on the way, one at a time, where the second verifier must find it.
FORGED = ("/checkpoint", "/tile/0/000", "/tile/0/001.p/", "/tile/entries/000", "/proof/")

# How many of the log's own proofs the second verifier asks for.
PROVED = 20


def check(admin, witness):
    """Reads the log as a stranger does."""
    base = admin + LOG
    log = reader.TilesReader(backend.make_backend(base))
    checkpoint = log.get_checkpoint()
    keys = call(base + "/key").decode().split()
    for key in keys:
        checkpoint.verify(signing.Vkey.from_string(key))
    assert [key.sig_type for key in map(signing.Vkey.from_string, keys)] == [1, 4], keys
    checkpoint.verify(witness.vkey)
    assert witness.proofs > 1 and not witness.refused, (witness.proofs, witness.refused)
    log.set_size(checkpoint.size)
    assert log.calculate_root_hash() == checkpoint.root_hash
    changes = 0
    for index in range(checkpoint.size):
        entry = log.get_entry(index)
        proof = log.get_inclusion_proof(index, checkpoint.size)
        proof.check(tiles.leaf_hash(entry), checkpoint.root_hash)
        changes += json.loads(entry)["kind"] == "change"
    assert changes == CHANGES, changes
    half = checkpoint.size // 2
    log.get_consistency_proof(half, checkpoint.size).check(log.mth(0, half), checkpoint.root_hash)
    # Our own proof is theirs, hash for hash.
    change = json.loads(call(admin + "/api/v1/changes?limit=1"))["data"][0]["id"]
    own = call(f"{base}/proof/{change}").decode()
    index = int(re.search(r"^index (\d+)$", own, re.M)[1])
    size = int(own.split("\n\n", 1)[1].split("\n")[1])
    theirs = [signing.b64enc(node) for node in log.get_inclusion_proof(index, size).node_hashes]
    assert own.split("\n\n", 1)[0].split("\n")[2:] == theirs, own
    return checkpoint.size


class Forger(http.server.BaseHTTPRequestHandler):
    """Hands on what the log serves, a bit of one thing aside."""

    log, forged = None, None

    def do_GET(self):
        body = bytearray(call(self.log + self.path))
        if self.path.startswith(self.forged):
            # Of a proof, the first hash; of tiles and entries, a bit anywhere.
            place = body.index(b"\n", body.index(b"\nindex ") + 1) + 5 if b"index" in body else 40
            body[place] ^= 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def read_by_go(binary, admin, older):
    """Has Go's libraries read the log, and refuse what is forged on the way."""
    changes = json.loads(call(f"{admin}/api/v1/changes?limit={PROVED}"))["data"]
    changes = [change["id"] for change in changes]
    told = subprocess.run([binary, admin + LOG, older, *changes], capture_output=True, text=True)
    if told.returncode != 0:
        sys.exit(told.stdout + told.stderr)
    print(told.stdout, end="")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Forger.log = admin + LOG
    for Forger.forged in FORGED:
        forged = [binary, f"http://127.0.0.1:{server.server_port}", older, *changes]
        told = subprocess.run(forged, capture_output=True, text=True)
        assert told.returncode == 1 and "does not hold" in told.stderr, (Forger.forged, told)
    server.shutdown()


def main(program, binary=None):
    program = os.path.abspath(program)
    with tempfile.TemporaryDirectory() as folder:
        witness = witnesses.Witness() if reader else None
        tables = "[evidence]\ninterval = '1s'\n"
        if witness:
            key = witness.vkey.serialize()
            tables += f"witness_urls = ['{witness.url}']\nwitness_keys = ['{key}']\n"
        with Gateway(program, folder, tables) as gateway:
            if witness:
                keys = eventually(lambda: call(f"{gateway.admin}{LOG}/key").decode().split())
                key = signing.Vkey.from_string(keys[0])
                witness.logs[key.name] = key

            def covered(leaves):
                note = call(f"{gateway.admin}{LOG}/checkpoint")
                return note if int(note.split(b"\n")[1]) >= leaves else None

            def cosigned():
                note = call(f"{gateway.admin}{LOG}/checkpoint")
                return witnesses.NAME.encode() in note

            for number in range(CHANGES):
                call(gateway.api + PATH, {"name": f"number {number}"})
                if number == CHANGES // 2:
                    older = pathlib.Path(folder) / "older.checkpoint"
                    older.write_bytes(eventually(lambda: covered(CHANGES // 2)))
            eventually(lambda: covered(CHANGES))
            # One more interval, so that the newest change is under the checkpoint.
            time.sleep(1.5)
            if reader:
                eventually(cosigned, "a witness's signature")
                leaves = check(gateway.admin, witness)
                print(f"tlog-scales reads a log of {leaves} leaves, and all of it holds")
                print(f"a witness on it has signed that it grew, by {witness.proofs} proofs")
            if binary:
                read_by_go(os.path.abspath(binary), gateway.admin, older)


main(*sys.argv[1:])
