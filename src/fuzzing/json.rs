//! A second reader of JSON, written from RFC 8259 alone, to hold the first one against. It knows
//! the bytes only, is slow, and tells no reasons.

use serde_json::{Map, Number, Value};

/// The one value that `text` is: no duplicate names, no lone surrogates, finite numbers, at most
/// `depth_max` levels, control characters in names only where `controls`.
pub(super) fn read(text: &[u8], depth_max: usize, controls: bool) -> Option<Value> {
    str::from_utf8(text).ok()?;
    let mut reader = Reader { rest: text, depth_max, controls };
    let value = reader.element(0)?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'t> {
    rest: &'t [u8],
    depth_max: usize,
    controls: bool,
}

impl<'t> Reader<'t> {
    /// ws value ws
    fn element(&mut self, depth: usize) -> Option<Value> {
        self.space();
        let value = self.value(depth)?;
        self.space();
        Some(value)
    }

    fn space(&mut self) {
        self.take_while(|byte| b" \t\n\r".contains(&byte));
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.rest.first()? {
            b'{' | b'[' if depth == self.depth_max => None,
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(Value::String),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'n' => self.word("null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        self.rest = self.rest.strip_prefix(word.as_bytes())?;
        Some(value)
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        self.expect(b'{')?;
        self.space();
        if self.expect(b'}').is_some() {
            return Some(members.into());
        }
        loop {
            self.space();
            let name = self.string()?;
            // C0, DEL and C1: what Unicode calls Cc.
            let control = |c: char| c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c);
            if members.contains_key(&name) || !self.controls && name.contains(control) {
                return None;
            }
            self.space();
            self.expect(b':')?;
            let value = self.element(depth)?;
            members.insert(name, value);
            if self.expect(b',').is_none() {
                self.expect(b'}')?;
                return Some(members.into());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut elements = Vec::new();
        self.expect(b'[')?;
        self.space();
        if self.expect(b']').is_some() {
            return Some(elements.into());
        }
        loop {
            elements.push(self.element(depth)?);
            if self.expect(b',').is_none() {
                self.expect(b']')?;
                return Some(elements.into());
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut text = Vec::new();
        self.expect(b'"')?;
        loop {
            text.extend_from_slice(self.take_while(|b| b != b'"' && b != b'\\' && b >= b' '));
            match self.next()? {
                b'"' => return String::from_utf8(text).ok(),
                b'\\' => {
                    let escaped = self.escape()?;
                    text.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _control => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        match self.next()? {
            plain @ (b'"' | b'\\' | b'/') => Some(plain.into()),
            b'b' => Some('\u{8}'),
            b'f' => Some('\u{c}'),
            b'n' => Some('\n'),
            b'r' => Some('\r'),
            b't' => Some('\t'),
            b'u' => {
                let first = self.four()?;
                if !(0xd800..0xdc00).contains(&first) {
                    // The second half of a pair alone is not a char.
                    return char::from_u32(first);
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let second = self.four().filter(|second| (0xdc00..0xe000).contains(second))?;
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            _ => None,
        }
    }

    fn four(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            number = number * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(number)
    }

    /// [ minus ] int [ frac ] [ exp ]
    fn number(&mut self) -> Option<Value> {
        let text = self.rest;
        self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        let is_whole = !matches!(self.rest.first(), Some(b'.' | b'e' | b'E'));
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        if self.expect(b'e').or_else(|| self.expect(b'E')).is_some() {
            self.expect(b'+').or_else(|| self.expect(b'-'));
            self.digits()?;
        }
        let text = text.get(..text.len() - self.rest.len())?;
        let text = str::from_utf8(text).ok()?;
        let whole = || text.parse().map(i64::into).or_else(|_| text.parse().map(u64::into)).ok();
        // Minus zero is kept apart from zero, which only a double can do.
        let whole = (is_whole && text != "-0").then(whole).flatten();
        whole.or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
    }

    fn digits(&mut self) -> Option<()> {
        (!self.take_while(|byte| byte.is_ascii_digit()).is_empty()).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'t [u8] {
        let end = self.rest.iter().position(|byte| !fits(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}
