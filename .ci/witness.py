"""A witness of checkpoints (C2SP tlog-witness) on tlog-scales: proofs and signatures are its own."""

import http.server
import threading
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tlog_scales import signing, tlog

NAME = "witness.example/ci"
EMPTY = signing.sha256(b"")


class Witness:
    def __init__(self):
        self.key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        public = self.key.public_key().public_bytes_raw()
        self.vkey = signing.Vkey(NAME, None, 4, public)
        # The keys of logs that it takes, and the newest tree of each that it has signed.
        self.logs, self.seen, self.proofs, self.refused = {}, {}, 0, []
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                status, body = witness.add_checkpoint(self.path, text)
                self.send_response(status)
                size = status == 409
                self.send_header("content-type", "text/x.tlog.size" if size else "text/plain")
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_what):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add_checkpoint(self, path, text):
        head, note = text.split("\n\n", 1)
        old, *proof = head.split("\n")
        old = int(old.removeprefix("old "))
        checkpoint = tlog.Checkpoint.from_text(note)
        key = self.logs.get(checkpoint.origin)
        if path != "/add-checkpoint" or key is None:
            return 404, ""
        checkpoint.verify(key)
        size, root = self.seen.get(checkpoint.origin, (0, EMPTY))
        if old != size:
            return 409, f"{size}\n"
        hashes = [signing.b64dec(line) for line in proof]
        try:
            grown = tlog.ConsistencyProof(old, checkpoint.size, hashes)
            grown.check(root, checkpoint.root_hash)
        except tlog.ConsistencyProofInvalid as why:
            self.refused.append(str(why))
            return 422, ""
        self.proofs += bool(hashes)
        self.seen[checkpoint.origin] = checkpoint.size, checkpoint.root_hash
        now = int(time.time())
        message = f"cosignature/v1\ntime {now}\n{checkpoint.serialize_body()}".encode()
        signature = now.to_bytes(8) + self.key.sign(message)
        return 200, signing.NoteSignature.from_vkey_signature(self.vkey, signature).serialize() + "\n"
