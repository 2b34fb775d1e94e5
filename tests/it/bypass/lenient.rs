//! The most forgiving server imaginable. It reads HTTP/1.1 by itself, and where a message may be
//! taken for a change of a deployment, takes it for one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::harm::{Nested, fresh, harm, laid};
use super::understood::{Request, Understood};

/// A change of a deployment that it was asked for.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// The request id that came with it.
    pub(super) case: String,
    pub(super) operation: String,
    pub(super) deployment: String,
    pub(super) token: String,
    /// The forbidden effect of the change; `None` if it has none.
    pub(super) harm: Option<String>,
    pub(super) request: Request,
}

/// Everything that the server has received.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) requests: Vec<Request>,
    pub(super) writes: Vec<Write>,
    deployments: BTreeMap<String, Value>,
}

/// The server.
pub(super) struct Lenient {
    pub(super) url: String,
    pub(super) seen: Arc<Mutex<Seen>>,
}

impl Lenient {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, seen }
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut wire = Wire { stream: &mut stream, ahead: Vec::new() };
    while let Some(request) = wire.request().await {
        let answer = seen.lock().unwrap().take(request).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        let text = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
        if wire.stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A connection, and what was read of it too early.
struct Wire<'s> {
    stream: &'s mut TcpStream,
    ahead: Vec<u8>,
}

impl Wire<'_> {
    async fn more(&mut self) -> Option<()> {
        let mut room = vec![0; 16 * 1024];
        let read = self.stream.read(&mut room).await.ok().filter(|read| *read > 0)?;
        self.ahead.extend_from_slice(&room[..read]);
        Some(())
    }

    /// A line without its end, which may be a bare line feed.
    async fn line(&mut self) -> Option<String> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.ahead[looked..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.ahead.drain(..=looked + at).collect();
                let text = String::from_utf8_lossy(&line);
                return Some(text.trim_end_matches(['\r', '\n']).to_owned());
            }
            looked = self.ahead.len();
            self.more().await?;
        }
    }

    async fn bytes(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            self.more().await?;
        }
        Some(self.ahead.drain(..length).collect())
    }

    async fn request(&mut self) -> Option<Request> {
        let mut request = Request::default();
        while request.line.is_empty() {
            request.line = self.line().await?;
        }
        self.fields(&mut request).await?;
        let coding = request.field("transfer-encoding").unwrap_or_default().to_ascii_lowercase();
        if coding.contains("chunked") {
            loop {
                let size = self.line().await?;
                let size = size.trim().split(';').next().unwrap_or_default().trim().to_owned();
                let size = usize::from_str_radix(&size, 16).unwrap_or(0);
                if size == 0 {
                    break;
                }
                let chunk = self.bytes(size).await?;
                request.body.extend(chunk);
                self.line().await?;
            }
            // Trailers are as good as any other field.
            self.fields(&mut request).await?;
        } else if let Some(length) = request.field("content-length") {
            let length = length.rsplit(',').next().unwrap_or_default().trim().trim_matches('+');
            request.body = self.bytes(length.parse().unwrap_or(0)).await?;
        }
        Some(request)
    }

    async fn fields(&mut self, request: &mut Request) -> Option<()> {
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(());
            }
            if line.starts_with([' ', '\t'])
                && let Some((_, value)) = request.fields.last_mut()
            {
                *value += &line;
                continue;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let name = name.trim().to_ascii_lowercase().replace(['_', '.'], "-");
            request.fields.push((name, value.trim().to_owned()));
        }
    }
}

impl Seen {
    /// Does what a request may ask for, and tells the answer.
    fn take(&mut self, request: Request) -> Value {
        let understood = request.understood();
        let answer = match understood.path.iter().position(|segment| segment == "deployments") {
            Some(at) => self.deployment(&request, &understood, at + 1),
            None => json!({"type": "seen", "line": request.line}),
        };
        self.requests.push(request);
        answer
    }

    fn deployment(&mut self, request: &Request, understood: &Understood, below: usize) -> Value {
        let mut below = understood.path.iter().skip(below);
        let (id, verb) = (below.next().cloned(), below.next());
        let operation = match (understood.method.as_str(), &id, verb) {
            ("GET" | "HEAD" | "OPTIONS" | "TRACE", None, _) => return json!({"data": []}),
            ("GET" | "HEAD" | "OPTIONS" | "TRACE", Some(id), _) => return self.shown(id),
            ("DELETE", ..) => "delete",
            (_, None, _) => "create",
            (_, Some(_), None) => "update",
            (_, Some(_), Some(verb)) => verb,
        };
        let created = operation == "create";
        // The body may name another deployment than the path.
        let named = understood.body.get("id").and_then(Value::as_str).filter(|_| !created);
        let id = named
            .map(str::to_owned)
            .or(id)
            .unwrap_or_else(|| format!("dep_new_{}", self.writes.len()));
        let mut before =
            if created { json!({"type": "deployment", "id": id}) } else { self.shown(&id) };
        if understood.method == "PUT" {
            before = json!({"type": "deployment", "id": id});
        }
        let [after, merged] = [Nested::Replaced, Nested::Merged]
            .map(|nested| laid(&before, &understood.body, nested));
        let deleted = (operation == "delete").then(|| "the deployment is gone".to_owned());
        let harm = deleted.or(harm(&after, created)).or(harm(&merged, created));
        self.writes.push(Write {
            case: request.field("x-request-id").unwrap_or_default().to_owned(),
            operation: operation.to_owned(),
            deployment: id.clone(),
            token: understood.token.clone(),
            harm,
            request: request.clone(),
        });
        self.deployments.insert(id, after.clone());
        after
    }

    fn shown(&mut self, id: &str) -> Value {
        self.deployments.entry(id.to_owned()).or_insert_with(|| fresh(id)).clone()
    }
}
