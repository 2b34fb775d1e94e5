//! The bytes of an HTTP/1.1 connection, read beside the parser: where a message begins and ends,
//! they have to tell in one way only (RFC 9112). What other servers may read differently (a line
//! that ends in a bare LF, two lengths, a length beside chunks, a folded field) is not a message
//! here, even where the parser would make one of it.

mod chunks;
mod head;
mod known;

use http::StatusCode;
use memchr::memchr;

use self::head::{Head, Length, METHOD_BYTES_MAX};
use self::known::CachedFields;

/// The longest begun line that is kept until its end comes, in bytes: longer than any head that the
/// parser takes.
const LINE_BYTES_MAX: usize = 2 << 20;

/// A connection's messages, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    place: FramingState,
    /// A line whose end has not come yet.
    begun: Vec<u8>,
    head: Head,
    /// How many heads were whole.
    heads: usize,
    known: CachedFields,
}

/// The part of a message that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FramingState {
    /// A request line, after one empty line at most (RFC 9112, 2.2).
    #[default]
    Start,
    /// A request line, now surely.
    Request,
    /// A field of the head, or its end.
    Fields,
    /// So many bytes of a body.
    Body(u64),
    /// A chunk's size.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of a chunk's line.
    ChunkEnd,
    /// A field of the trailer section, or the message's end.
    Trailers,
    /// Nothing that is looked at: the parser has given up by now.
    Beyond,
}

/// Bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// How many of the bytes just read belong to what came before.
    pub(crate) sound: usize,
    /// Whether it is a malformed body, of a request whose head was well-formed.
    pub(crate) in_body: bool,
    pub(crate) fault: FramingError,
}

/// A fault of a message's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    LineEnd,
    RequestLine,
    Target,
    Fragment,
    Version,
    /// No HTTP at all: there is nobody to answer.
    Foreign,
    Folded,
    FieldName,
    FieldValue,
    Length,
    Coding,
    LengthAndCoding,
    Chunk,
    Trailer,
}

impl FramingError {
    /// How it is answered; `None` where there is nobody who would understand.
    pub(crate) const fn status(self) -> Option<StatusCode> {
        match self {
            Self::Foreign => None,
            Self::Version => Some(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
            _ => Some(StatusCode::BAD_REQUEST),
        }
    }

    /// A sentence that says what is wrong, and what would be right.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::LineEnd => "a line does not end in CR LF, or has a CR within: send CR LF",
            Self::RequestLine => {
                "the request line is none: send method, target and HTTP/1.1, one space between each"
            }
            Self::Target => "the target has characters that no URI has: percent-encode them",
            Self::Fragment => "the target has a #fragment, which is never sent: remove it",
            Self::Version => "this version of HTTP is not served here: send HTTP/1.1 or HTTP/2",
            Self::Foreign => "this is not HTTP",
            Self::Folded => "a field goes on in the next line: send each in one line",
            Self::FieldName => {
                "a header line is no `name: value`: send a name without spaces, and a colon"
            }
            Self::FieldValue => "a header's value has control characters: remove them",
            Self::Length => "Content-Length is not one number without zeros in front: send it once",
            Self::Coding => {
                "only Transfer-Encoding: chunked is taken, once and in HTTP/1.1: send nothing else"
            }
            Self::LengthAndCoding => {
                "both Content-Length and Transfer-Encoding are sent: send one of them"
            }
            Self::Chunk => "a chunk of the body is none: send its size in hex digits, and CR LF",
            Self::Trailer => "the trailer section has a field that belongs in the head: remove it",
        }
    }
}

impl Framing {
    /// Whether what comes next is the beginning of a message.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self.place, FramingState::Start) && self.begun.is_empty()
    }

    /// Whether what comes next is of a body.
    pub(crate) fn is_within_body(&self) -> bool {
        self.place.is_in_body()
            || matches!(self.place, FramingState::Body(_) | FramingState::Chunk(_))
    }

    /// How many heads were whole.
    pub(crate) fn heads(&self) -> usize {
        self.heads
    }

    /// Looks at the bytes that come next.
    pub(crate) fn watch(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut rest = bytes;
        // Where in `bytes` the message begins that is being read.
        let mut message = 0;
        // Where the fields begin of the head that is being read, if they do so here.
        let mut fields = None;
        while !rest.is_empty() {
            let here = bytes.len() - rest.len();
            if self.is_between_messages() {
                message = here;
            }
            match &mut self.place {
                FramingState::Body(left) | FramingState::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    rest = rest.get(taken..).unwrap_or_default();
                    self.end_of_bytes();
                }
                FramingState::Beyond => return Ok(()),
                _ => {
                    let was = self.place;
                    let in_body = was.is_in_body();
                    let sound = if in_body { here } else { message };
                    let malformed = |fault| Malformed { sound, in_body, fault };
                    let known = fields.filter(|start| *start == here);
                    if let Some((head, after)) =
                        known.and_then(|_| self.known.find(self.head, rest))
                    {
                        self.head = head;
                        self.end_of_head().map_err(malformed)?;
                        rest = after;
                        continue;
                    }
                    rest = self.line(rest).map_err(malformed)?;
                    let next = bytes.len() - rest.len();
                    match (was, self.place) {
                        (FramingState::Fields, FramingState::Fields) => {}
                        (_, FramingState::Fields) => fields = Some(next),
                        (FramingState::Fields, _) => {
                            let section = fields.and_then(|start| bytes.get(start..next));
                            self.known.learn(section.unwrap_or_default(), self.head);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a line, or the beginning of one; returns what follows.
    fn line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], FramingError> {
        let Some(end) = memchr(b'\n', bytes) else {
            if self.begun.len() + bytes.len() > LINE_BYTES_MAX {
                (self.place, self.begun) = (FramingState::Beyond, Vec::new());
            } else {
                self.begun.extend_from_slice(bytes);
                self.expect_method()?;
            }
            return Ok(&[]);
        };
        let (line, rest) = (bytes.get(..end), bytes.get(end + 1..).unwrap_or_default());
        let line = line.unwrap_or_default();
        if self.begun.is_empty() {
            self.whole_line(line)?;
        } else {
            let mut whole = std::mem::take(&mut self.begun);
            whole.extend_from_slice(line);
            self.whole_line(&whole)?;
        }
        Ok(rest)
    }

    /// Looks whether a request line that goes on begins with a method at least.
    fn expect_method(&self) -> Result<(), FramingError> {
        let is_request = matches!(self.place, FramingState::Start | FramingState::Request);
        let method = self.begun.get(..=METHOD_BYTES_MAX).filter(|_| is_request);
        let is_endless = method.is_some_and(|method| memchr(b' ', method).is_none());
        if is_endless { Err(FramingError::RequestLine) } else { Ok(()) }
    }

    /// A line without its LF.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), FramingError> {
        let Some((b'\r', line)) = line.split_last() else { return Err(FramingError::LineEnd) };
        self.place = match self.place {
            FramingState::Start if line.is_empty() => FramingState::Request,
            FramingState::Start | FramingState::Request => {
                self.head = Head::begin(line)?;
                FramingState::Fields
            }
            FramingState::Fields if line.is_empty() => return self.end_of_head(),
            FramingState::Fields => {
                self.head.field(line)?;
                FramingState::Fields
            }
            FramingState::ChunkSize => match chunks::size(line)? {
                0 => FramingState::Trailers,
                bytes => FramingState::Chunk(bytes),
            },
            FramingState::ChunkEnd if line.is_empty() => FramingState::ChunkSize,
            FramingState::ChunkEnd => return Err(FramingError::Chunk),
            FramingState::Trailers if line.is_empty() => FramingState::Start,
            FramingState::Trailers => {
                chunks::trailer(line)?;
                FramingState::Trailers
            }
            place @ (FramingState::Body(_) | FramingState::Chunk(_) | FramingState::Beyond) => {
                place
            }
        };
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), FramingError> {
        self.place = match self.head.length()? {
            Length::None | Length::Bytes(0) => FramingState::Start,
            Length::Bytes(bytes) => FramingState::Body(bytes),
            Length::Chunked => FramingState::ChunkSize,
        };
        self.heads += 1;
        Ok(())
    }

    fn end_of_bytes(&mut self) {
        match self.place {
            FramingState::Body(0) => self.place = FramingState::Start,
            FramingState::Chunk(0) => self.place = FramingState::ChunkEnd,
            _ => {}
        }
    }
}

impl FramingState {
    const fn is_in_body(self) -> bool {
        matches!(self, Self::ChunkSize | Self::ChunkEnd | Self::Trailers)
    }
}

#[cfg(test)]
mod tests;
