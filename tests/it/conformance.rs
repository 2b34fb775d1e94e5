//! Whether the listener keeps to HTTP/2 (RFC 9113) and HPACK (RFC 7541) as strictly as h2spec asks,
//! in clear and under TLS, for calls that are refused here and calls that upstream answers.
//!
//! The cases are h2spec's 146, by its numbers (those of RFC 7540), and some more, in
//! `tests/data/http2`: a title, frames that are sent one by one, and what has to come then.
//! A frame is its type, its stream, its flags and its payload's parts, which [`Case::part`] tells.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::world::certificate::Certificate;
use crate::world::client::TOKEN;
use crate::world::frames::{
    ACK, CODES, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Heard, PING, PREFACE, Peer,
    RST_STREAM, SETTINGS, TYPES, field, frame,
};
use crate::world::recorder::{Recorder, answer};
use crate::world::{Setup, World, say};

/// How many cases are on their way at once.
const AT_ONCE: usize = 24;

/// The setting that bounds streams (RFC 9113, 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// The settings that every connection opens with, as h2spec's do: the usual window.
const SETTINGS_AT_FIRST: [u8; 6] = [0, 4, 0, 0, 0xff, 0xff];

trait Wire: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<W: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Wire for W {}

/// How cases are sent.
#[derive(Clone, Copy, Debug)]
struct Way {
    tls: bool,
    /// With a credential, so that upstream answers.
    passes: bool,
}

#[derive(Clone, Debug)]
struct Case {
    title: String,
    steps: Vec<String>,
    expected: String,
    way: Way,
}

fn cases(way: Way) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http2");
    let texts = std::fs::read_dir(folder).unwrap();
    let texts = texts.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let case = |text: &str| {
        let (title, rest) = text.trim().split_once('\n').unwrap();
        let (steps, expected) = rest.rsplit_once('\n').unwrap_or(("", rest));
        let steps = steps.lines().map(|step| step.trim().to_owned()).collect();
        let expected = expected.trim().strip_prefix("= ").unwrap_or_else(|| panic!("{title}"));
        Case { title: title.to_owned(), steps, expected: expected.to_owned(), way }
    };
    texts.flat_map(|text| text.split("\n\n").map(case).collect::<Vec<_>>()).collect()
}

fn number(text: &str) -> u32 {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap_or_else(|_| panic!("{text} is not a number")),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn code(name: &str) -> u32 {
    let code = CODES.iter().position(|known| *known == name);
    u32::try_from(code.unwrap_or_else(|| panic!("{name} is not a code"))).unwrap()
}

impl Case {
    /// The fields of a usual request.
    fn fields(&self, method: &str) -> Vec<u8> {
        let mut block = Vec::new();
        let scheme = if self.way.tls { "https" } else { "http" };
        let credential = format!("Bearer {TOKEN}");
        for (name, value) in
            [(":method", method), (":scheme", scheme), (":path", "/"), (":authority", "localhost")]
        {
            field(&mut block, name.as_bytes(), value.as_bytes());
        }
        if self.way.passes {
            field(&mut block, b"authorization", credential.as_bytes());
        }
        block
    }

    /// A part of a payload: the fields of a request (`GET`, or some of their bytes, `GET[5..10]`),
    /// a field (`name=value`), long fields (`dummy*5`), a setting (`s4:100`), a number (`u32:1`),
    /// bytes (`x:00ff`), text (`"test"`), or so many bytes (`x*100`).
    fn part(&self, word: &str) -> Vec<u8> {
        if let Some(text) = word.strip_prefix('"') {
            return text.trim_end_matches('"').into();
        }
        if let Some((name, count)) = word.split_once('*') {
            let count = number(count) as usize;
            let long = "x".repeat(4_000);
            let mut block = vec![b'x'; if name == "x" { count } else { 0 }];
            for at in (0..count).filter(|_| name == "dummy") {
                field(&mut block, format!("x-dummy{at}").as_bytes(), long.as_bytes());
            }
            return block;
        }
        if let Some((name, value)) = word.split_once('=') {
            let scheme = if self.way.tls { "https" } else { "http" };
            let value = value.replace("SCHEME", scheme).replace("AUTHORITY", "localhost");
            let mut block = Vec::new();
            field(&mut block, name.as_bytes(), value.as_bytes());
            return block;
        }
        match word.split_once(':') {
            Some(("x", digits)) => hex(digits),
            Some(("u8", value)) => vec![u8::try_from(number(value)).unwrap()],
            Some(("u32", value)) => number(value).to_be_bytes().into(),
            Some((setting, value)) => {
                let id = u16::try_from(number(setting.strip_prefix('s').unwrap())).unwrap();
                [&id.to_be_bytes()[..], &number(value).to_be_bytes()].concat()
            }
            None if word == "PREFACE" => PREFACE.into(),
            None => match word.split_once('[') {
                Some((method, range)) => {
                    let (from, to) = range.trim_end_matches(']').split_once("..").unwrap();
                    let block = self.fields(method);
                    let to = if to.is_empty() { block.len() } else { number(to) as usize };
                    let from = if from.is_empty() { 0 } else { number(from) as usize };
                    block[from..to].into()
                }
                None => self.fields(word),
            },
        }
    }

    fn flag(word: &str) -> u8 {
        match word {
            "END_STREAM" => END_STREAM,
            "END_HEADERS" => END_HEADERS,
            "ACK" => ACK,
            "PADDED" => 8,
            "PRIORITY" => 0x20,
            other => u8::try_from(number(other)).unwrap(),
        }
    }

    /// The flags and the payload that words stand for.
    fn flags_and_payload(&self, words: &[&str]) -> (u8, Vec<u8>) {
        let flags = words.iter().filter_map(|word| word.strip_prefix('+'));
        let parts = words.iter().filter(|word| !word.starts_with('+'));
        (flags.map(Self::flag).fold(0, |all, flag| all | flag), {
            parts.flat_map(|word| self.part(word)).collect()
        })
    }

    /// Plays the case; an error says what came instead.
    async fn play(&self, wire: Box<dyn Wire>) -> Result<(), String> {
        let mut peer = Peer(wire);
        let connects = self.steps.first().is_none_or(|step| step != "unconnected");
        let settings =
            if connects { peer.shake_hands(&SETTINGS_AT_FIRST).await } else { Vec::new() };
        // What is sent without a wait between is sent at once: an answer that comes first would
        // change what the next frame means.
        let mut bytes = Vec::new();
        for step in &self.steps {
            let words: Vec<&str> = step.split(' ').collect();
            match words.as_slice() {
                ["unconnected"] => {}
                ["wait", event] => {
                    peer.send(&std::mem::take(&mut bytes)).await;
                    Self::hear(&mut peer, event).await?;
                }
                ["raw", words @ ..] => bytes.extend(self.flags_and_payload(words).1),
                ["fill", words @ ..] => {
                    let bound = settings.iter().find(|(id, _)| *id == MAX_CONCURRENT_STREAMS);
                    let (flags, payload) = self.flags_and_payload(words);
                    for n in 0..=bound.expect("streams are bounded").1 {
                        frame(&mut bytes, HEADERS, flags, 2 * n + 1, &payload);
                    }
                }
                [kind, stream, words @ ..] => {
                    let known = TYPES.iter().position(|known| known == kind);
                    let kind = known.unwrap_or_else(|| number(kind) as usize);
                    let (flags, payload) = self.flags_and_payload(words);
                    frame(&mut bytes, u8::try_from(kind).unwrap(), flags, number(stream), &payload);
                }
                _ => panic!("{}: {step}", self.title),
            }
        }
        peer.send(&bytes).await;
        Self::hear(&mut peer, &self.expected).await
    }

    /// Listens until something comes that decides.
    async fn hear(peer: &mut Peer<Box<dyn Wire>>, expected: &str) -> Result<(), String> {
        let mut before = Vec::new();
        loop {
            let heard = peer.hear().await;
            match expected.split(" or ").find_map(|one| is(one, &heard, before.is_empty())) {
                Some(true) => return Ok(()),
                None if matches!(heard, Heard::Frame(_)) => before.push(heard),
                _ => return Err(format!("{expected} was due after {before:?}, {heard:?} came")),
            }
        }
    }
}

/// Whether it is what has to come; none where that is still open.
fn is(expected: &str, heard: &Heard, first: bool) -> Option<bool> {
    let words: Vec<&str> = expected.split(' ').collect();
    let Heard::Frame(frame) = heard else {
        let may_close = matches!(words[..], ["close"] | ["connection" | "stream", "error", ..]);
        return (may_close && *heard == Heard::Closed).then_some(true);
    };
    let names = |codes: &[&str]| codes.iter().any(|name| frame.code() == Some(code(name)));
    match words.as_slice() {
        ["close"] => None,
        ["connection", "error", codes @ ..] => (frame.is(GOAWAY) && names(codes)).then_some(true),
        ["stream", "error", codes @ ..] => names(codes).then_some(true),
        ["end"] => frame.ends_stream().then_some(true),
        ["GOAWAY", wanted] => frame.is(GOAWAY).then(|| names(&[wanted])),
        ["RST_STREAM", wanted] => frame.is(RST_STREAM).then(|| names(&[wanted])),
        ["HEADERS", stream] => frame.is(HEADERS).then(|| frame.stream == number(stream)),
        ["DATA"] => frame.is(DATA).then_some(true),
        ["DATA", length] => frame.is(DATA).then(|| frame.payload.len() == number(length) as usize),
        ["PING", payload] => {
            frame.is(PING).then(|| frame.flags == ACK && frame.payload == hex(payload))
        }
        ["SETTINGS"] => frame.is(SETTINGS).then_some(true),
        ["SETTINGS", "ACK"] => frame.is(SETTINGS).then_some(frame.flags == ACK),
        ["first", "SETTINGS"] => Some(first && frame.is(SETTINGS) && frame.flags == 0),
        _ => panic!("{expected}"),
    }
}

async fn connect(world: &World, certificate: Option<&Certificate>) -> Box<dyn Wire> {
    match certificate {
        Some(certificate) => Box::new(certificate.connect(world.proxy(), &["h2"]).await),
        None => Box::new(TcpStream::connect(world.proxy()).await.unwrap()),
    }
}

/// Returns the failures, one for each broken case.
async fn broken(way: Way) -> Vec<String> {
    let upstream = Recorder::start(|_| answer(200, json!({"type": "none"}))).await;
    let mut setup = Setup::new().upstream(&upstream.url);
    let certificate = way.tls.then(|| Certificate::of("localhost"));
    if let Some(Certificate { chain, key }) = &certificate {
        setup = setup.config("[listen.tls]\ncert = 'cert.pem'\nkey = 'tls.pem'");
        setup = setup.file("cert.pem", chain).file("tls.pem", key);
    }
    let (world, turns) = (setup.start().await, Arc::new(Semaphore::new(AT_ONCE)));
    let mut playing = JoinSet::new();
    for case in cases(way) {
        let turn = Arc::clone(&turns).acquire_owned().await.unwrap();
        let wire = connect(&world, certificate.as_ref()).await;
        playing.spawn(async move {
            let played = case.play(wire).await;
            drop(turn);
            played.err().map(|what| format!("{} ({way:?}): {what}", case.title))
        });
    }
    let wrong: Vec<String> = playing.join_all().await.into_iter().flatten().collect();
    assert_eq!(upstream.received().is_empty(), !way.passes);
    wrong
}

#[tokio::test]
async fn the_listener_keeps_to_http2_in_clear_and_under_tls() {
    let mut wrong = Vec::new();
    for tls in [false, true] {
        for passes in [false, true] {
            wrong.extend(broken(Way { tls, passes }).await);
        }
    }
    say(&format!("{} cases wrong", wrong.len()));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn all_of_h2specs_cases_are_there() {
    let cases = cases(Way { tls: false, passes: false });
    let count = |group| cases.iter().filter(|case| case.title.starts_with(group)).count();
    assert_eq!(["generic/", "http2/", "hpack/"].map(count), [44, 94, 8]);
}
