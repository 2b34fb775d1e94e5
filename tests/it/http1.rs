//! HTTP/1.1 by its RFCs: every case is a few lines in `tests/data/http1`.
//!
//! A case is the bytes of a request, in which `\r`, `\n`, `\\` and `\xNN` stand for bytes, line
//! breaks for nothing, `<FIELDS>` for a host and a credential, `<TOKEN>` for the latter alone, and
//! `<repeat N TEXT>` for N times the text. A plain request follows at once. Expected are the
//! statuses of all answers, so that one alone says that the connection has ended, and in a second
//! line the body that arrives.

use std::path::Path;
use std::time::Duration;

use crate::world::Setup;
use crate::world::client::{TOKEN, raw};
use crate::world::recorder::{Recorder, answer};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_message_is_taken_or_refused_as_the_rfcs_have_it() {
    let upstream = Recorder::start(|got| answer(200, String::from_utf8_lossy(&got.body))).await;
    let world = Setup::new().upstream(&upstream.url).start().await;
    let mut complaints = Vec::new();
    for (title, request, expected) in all_cases() {
        let request = request + "GET /after HTTP/1.1\\r\\n<FIELDS>connection: close\\r\\n\\r\\n";
        let told = raw(world.proxy(), &bytes_of(&request), PATIENCE).await;
        let (statuses, body) = expected.split_once('\n').unwrap_or((&expected, ""));
        let got: Vec<_> = told.split("HTTP/1.").skip(1).filter_map(|text| text.get(2..5)).collect();
        if got.join(" ") != statuses || !told.contains(body) {
            complaints.push(format!("{title}: {told}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Title, request and expectation of each case.
fn all_cases() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/http1");
    let files = std::fs::read_dir(folder).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let cases: Vec<_> = texts
        .flat_map(|text| text.trim_end().split("\n====\n").map(str::to_owned).collect::<Vec<_>>())
        .map(|case| {
            let (request, expected) = case.split_once("\n----\n").unwrap();
            let (title, request) = request.split_once('\n').unwrap();
            (title.to_owned(), request.replace('\n', ""), expected.to_owned())
        })
        .collect();
    assert!(cases.len() > 100, "{} cases", cases.len());
    cases
}

fn bytes_of(text: &str) -> Vec<u8> {
    let fields = "host: x\\r\\nauthorization: Bearer <TOKEN>\\r\\n";
    let mut text = text.replace("<FIELDS>", fields).replace("<TOKEN>", TOKEN);
    while let Some((before, rest)) = text.split_once("<repeat ") {
        let (instruction, after) = rest.split_once('>').unwrap();
        let (times, unit) = instruction.split_once(' ').unwrap();
        text = format!("{before}{}{after}", unit.repeat(times.parse().unwrap()));
    }
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (b'\\', Some(b'r')) => b'\r',
            (b'\\', Some(b'n')) => b'\n',
            (b'\\', Some(b'x')) => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            (byte, _) => byte,
        });
    }
    bytes
}
