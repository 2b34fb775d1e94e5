//! A witness of checkpoints (C2SP tlog-witness) that does what the specification says, written
//! apart from the program; or anything else, as a test has it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use changegate::base::clock::Clock;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

type Hash = [u8; 32];

/// What a witness does instead of what it should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    #[default]
    Honest,
    /// Takes the question, and never answers.
    Hangs,
    /// Answers so, with that in the body.
    Says(u16, String),
    /// Signs another text than it should.
    Forges,
    /// Signs by another key than its own.
    OtherKey,
}

/// A question that came, and the status of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) old: u64,
    pub(crate) proof: usize,
    pub(crate) size: u64,
    pub(crate) status: u16,
}

/// A running witness.
pub(crate) struct Witness {
    pub(crate) url: String,
    /// Its key, as verifiers take it.
    pub(crate) vkey: String,
    state: Arc<Mutex<State>>,
}

struct State {
    name: String,
    pair: Ed25519KeyPair,
    manner: Manner,
    /// The keys of logs that it takes, by their origins.
    logs: HashMap<String, Hash>,
    /// The largest tree of each that it has signed.
    seen: HashMap<String, (u64, Hash)>,
    asked: Vec<Asked>,
    /// How many questions it has left without an answer.
    left: usize,
}

/// A key with its name and the number of its kind, as verifiers take it.
fn vkey(name: &str, kind: u8, public: &[u8]) -> String {
    let key = [&[kind], public].concat();
    let id = key_id(name, &key).map(|byte| format!("{byte:02x}")).concat();
    format!("{name}+{id}+{}", STANDARD.encode(key))
}

fn key_id(name: &str, key: &[u8]) -> [u8; 4] {
    let digest = Sha256::digest([name.as_bytes(), b"\n", key].concat());
    digest[..4].try_into().unwrap()
}

impl Witness {
    /// A witness of that name, whose key is made of a byte.
    pub(crate) async fn start(name: &str, byte: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        let pair = Ed25519KeyPair::from_seed_unchecked(&[byte; 32]).unwrap();
        let vkey = vkey(name, 4, pair.public_key().as_ref());
        let state = State {
            name: name.to_owned(),
            pair,
            manner: Manner::default(),
            logs: HashMap::new(),
            seen: HashMap::new(),
            asked: Vec::new(),
            left: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answered(Arc::clone(&state), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { url, vkey, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes a log from now on, by the line that verifiers know its key by.
    pub(crate) fn trust(&self, log: &str) {
        let [origin, _id, key] = log.splitn(3, '+').collect::<Vec<_>>().try_into().unwrap();
        let key = STANDARD.decode(key).unwrap();
        self.state().logs.insert(origin.to_owned(), key[1..].try_into().unwrap());
    }

    /// Behaves so from now on.
    pub(crate) fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// Forgets everything that it has seen.
    pub(crate) fn forget(&self) {
        self.state().seen.clear();
    }

    /// The questions so far, in their order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How many questions it has left without an answer.
    pub(crate) fn left(&self) -> usize {
        self.state().left
    }

    /// The size of the largest tree that it has signed.
    pub(crate) fn signed(&self) -> u64 {
        self.state().seen.values().map(|(size, _root)| *size).max().unwrap_or_default()
    }
}

async fn answered(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let manner = state.lock().unwrap().manner.clone();
    if manner == Manner::Hangs {
        state.lock().unwrap().left += 1;
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
    let is_asked = head.method == "POST" && head.uri.path() == "/w/add-checkpoint";
    let (status, body) = match manner {
        Manner::Says(status, body) => (status, body),
        _ if !is_asked => (405, String::new()),
        _ => state.lock().unwrap().add_checkpoint(&text),
    };
    let content_type = if status == 409 { "text/x.tlog.size" } else { "text/plain" };
    let response = Response::builder().status(status).header("content-type", content_type);
    let response = response.header("location", "/w/add-checkpoint?again");
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

impl State {
    /// The status and the body of the answer to a question.
    fn add_checkpoint(&mut self, text: &str) -> (u16, String) {
        let (head, note) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let hash = |line: &str| -> Hash { STANDARD.decode(line).unwrap().try_into().unwrap() };
        let proof: Vec<Hash> = lines.map(hash).collect();
        assert!(proof.len() <= 63, "{text}");
        let (body, signatures) = note.split_once("\n\n").unwrap();
        let body = format!("{body}\n");
        let parts: Vec<&str> = body.lines().collect();
        let (origin, size) = (parts[0].to_owned(), parts[1].parse::<u64>().unwrap());
        let root = hash(parts[2]);
        let answer = self.judged((&origin, size, root), (old, &proof), (&body, signatures));
        let asked = Asked { old, proof: proof.len(), size, status: answer.0 };
        self.asked.push(asked);
        if answer.0 == 200 {
            self.seen.insert(origin, (size, root));
        }
        answer
    }

    fn judged(
        &self,
        (origin, size, root): (&str, u64, Hash),
        (old, proof): (u64, &[Hash]),
        (body, signatures): (&str, &str),
    ) -> (u16, String) {
        let Some(key) = self.logs.get(origin) else { return (404, String::new()) };
        let id = key_id(origin, &[&[1], &key[..]].concat());
        let is_signed = signatures.lines().any(|line| {
            let (name, bytes) = line.strip_prefix("\u{2014} ").unwrap().split_once(' ').unwrap();
            let bytes = STANDARD.decode(bytes).unwrap();
            let verifier = UnparsedPublicKey::new(&ED25519, key);
            name == origin
                && bytes[..4] == id
                && verifier.verify(body.as_bytes(), &bytes[4..]).is_ok()
        });
        if !is_signed {
            return (403, String::new());
        }
        if old > size {
            return (400, String::new());
        }
        let (seen, seen_root) = self.seen.get(origin).copied().unwrap_or_default();
        if old != seen || old == size && root != seen_root && size > 0 {
            return (409, format!("{seen}\n"));
        }
        if !has_grown((old, seen_root), (size, root), proof) {
            return (422, String::new());
        }
        (200, self.cosigned(body))
    }

    fn cosigned(&self, body: &str) -> String {
        let seconds = u64::try_from(Clock::System.now().millis() / 1_000).unwrap();
        let forged = if self.manner == Manner::Forges { "x" } else { "" };
        let message = format!("cosignature/v1\ntime {seconds}\n{body}{forged}");
        let other = Ed25519KeyPair::from_seed_unchecked(&[99; 32]).unwrap();
        let pair = if self.manner == Manner::OtherKey { &other } else { &self.pair };
        let key = [&[4], pair.public_key().as_ref()].concat();
        let id = key_id(&self.name, &key);
        let signature = pair.sign(message.as_bytes());
        let bytes = [&id[..], &seconds.to_be_bytes(), signature.as_ref()].concat();
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::digest([&[1], &left[..], &right[..]].concat()).into()
}

/// Whether a tree has grown from another one, by a proof (RFC 9162, 2.1.4.2).
fn has_grown((old, old_root): (u64, Hash), (size, root): (u64, Hash), proof: &[Hash]) -> bool {
    if old == 0 || old == size {
        return proof.is_empty() && (old == 0 || old_root == root);
    }
    let mut proof = proof.to_vec();
    if old.is_power_of_two() {
        proof.insert(0, old_root);
    }
    let (mut at, mut last) = (old - 1, size - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let Some((first, rest)) = proof.split_first() else { return false };
    let (mut former, mut whole) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (former, whole) = (node(hash, &former), node(hash, &whole));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            whole = node(&whole, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && former == old_root && whole == root
}
