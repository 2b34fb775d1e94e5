use super::*;
use crate::cases::cases;

/// Text in which `\r`, `\n`, `\t`, `\\` and `\x00` stand for bytes, and line breaks for nothing.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().filter(|byte| *byte != b'\n');
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None | Some(b'\\') => byte,
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(other) => panic!("\\{} stands for nothing", char::from(other)),
        });
    }
    bytes
}

/// The verdict over bytes that come in these pieces, and how many of them were sound.
fn verdict<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (String, usize) {
    let (mut framing, mut read) = (Framing::default(), 0);
    for piece in pieces {
        if let Err(Malformed { sound, fault, in_body }) = framing.watch(piece) {
            let place = if in_body { "body" } else { "head" };
            return (format!("{place} {fault:?}"), read + sound);
        }
        read += piece.len();
    }
    let done = if framing.is_between_messages() { "whole" } else { "more to come" };
    (done.to_owned(), read)
}

#[test]
fn every_case_is_framed_as_its_file_says_however_it_is_cut() {
    for case in cases("framing") {
        let [text, expected] = case.parts.as_slice() else { panic!("{}", case.title) };
        let bytes = bytes(text);
        let (whole, sound) = verdict([bytes.as_slice()]);
        let shown = if whole.starts_with("head") || whole.starts_with("body") {
            format!("{whole} after {sound}")
        } else {
            whole.clone()
        };
        assert_eq!(shown, *expected, "{}", case.title);
        for cut in 1..bytes.len() {
            let (one, other) = bytes.split_at(cut);
            assert_eq!(verdict([one, other]).0, whole, "{} cut at {cut}", case.title);
        }
        assert_eq!(verdict(bytes.chunks(1)).0, whole, "{} byte by byte", case.title);
    }
}

#[test]
fn a_line_without_end_is_left_to_the_parser() {
    let mut framing = Framing::default();
    framing.watch(b"GET /").unwrap();
    let endless = vec![b'a'; 64 << 10];
    for _ in 0..100 {
        framing.watch(&endless).unwrap();
        assert!(framing.begun.len() <= LINE_BYTES_MAX);
    }
}

/// Every case after every whole one: what is known of one message changes nothing of the next.
#[test]
fn what_came_before_changes_no_verdict() {
    let cases: Vec<_> = cases("framing").into_iter().map(|case| bytes(&case.parts[0])).collect();
    let whole = |bytes: &Vec<u8>| verdict([bytes.as_slice()]).0 == "whole";
    for (before, after) in cases
        .iter()
        .filter(|case| whole(case))
        .flat_map(|before| cases.iter().map(move |after| (before.as_slice(), after.as_slice())))
    {
        let (alone, sound) = verdict([after]);
        assert_eq!(verdict([before, after]), (alone, before.len() + sound), "{before:?} {after:?}");
    }
}

#[test]
fn fields_that_are_known_are_still_held_against_the_version() {
    let message = |version: &str| {
        format!("POST / {version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    };
    let (new, old) = (message("HTTP/1.1"), message("HTTP/1.0"));
    let (told, _) = verdict([new.as_bytes(), new.as_bytes(), old.as_bytes()]);
    assert_eq!(told, "head Coding");
    assert_eq!(verdict([new.as_bytes(), new.as_bytes()]).0, "whole");
}
