//! An HTTP/1.1 message as bytes: enough of it for an upstream and clients that misbehave.

/// A message: its head as it came, and its body once that is read.
#[derive(Clone, Debug)]
pub(super) struct Message {
    head: Vec<u8>,
    text: String,
    pub(super) body: Vec<u8>,
}

/// Where the head ends, if all of it is there.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

impl Message {
    pub(super) fn of(head: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&head).into_owned();
        Self { head, text, body: Vec::new() }
    }

    fn word(&self, n: usize) -> &str {
        self.text.split_whitespace().nth(n).unwrap_or_default()
    }

    pub(super) fn method(&self) -> &str {
        self.word(0)
    }

    pub(super) fn path(&self) -> &str {
        self.word(1)
    }

    /// Of an answer.
    pub(super) fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or(0)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (named, value) = line.split_once(':')?;
            named.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// All of it, as it came.
    pub(super) fn whole(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }
}
