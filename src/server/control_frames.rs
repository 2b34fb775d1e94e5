//! How much a client of HTTP/2 may send that is not a request.
//!
//! Frames such as PING, SETTINGS and PRIORITY cost their sender next to nothing, and no bound on
//! streams bounds them (RFC 9113, 10.5); requests that are reset as soon as they are sent
//! cost upstream more than the client. Here the heads of frames are read beside the parser, and
//! such a frame draws on a budget. Time fills it, and so does what the client is sent: who reads a
//! long answer tells so with many small frames.

use std::time::Duration;

use tokio::time::Instant;

/// The first bytes of a client that speaks HTTP/2 (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The budget at first, and at most: a burst.
const BUDGET_MAX: u64 = 2_000;

/// The part of the budget that comes back in a second.
const PER_SECOND: u64 = 200;

/// So many bytes to the client add one: more than the answer to a PING, and so few that a small
/// DATA frame is worth making room for, in its stream and its connection.
const SENT_BYTES: u64 = 24;

/// The cost of a frame, and that of a request that is given up.
const FRAME: u64 = 1;
const RESET: u64 = 10;

/// How much of a connection is heard before others have their turn: frames, and what fields they
/// bring.
const TURN: usize = 128;
const FIELD_BYTES: usize = 64;

/// The fewest bytes that a piece of a body has, but for the last.
const DATA_BYTES_MIN: usize = 32;

/// The answers to PING and to SETTINGS, in bytes: they earn nothing.
const PING_ACK_BYTES: usize = 17;
const SETTINGS_ACK_BYTES: usize = 9;

/// Types of frames and a flag (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The budget of one connection's control frames, and how far its frames have come.
#[derive(Debug)]
pub(super) struct ControlFrameBudget {
    budget: u64,
    filled_at: Instant,
    /// How many bytes of answers to frames are still to come.
    owed: usize,
    /// The bytes that were heard in this turn.
    heard: usize,
    /// The head of the next frame, as far as it has come.
    head: [u8; 9],
    head_bytes: usize,
    /// How many bytes come before the next frame's head.
    skip: usize,
    /// No frame has come yet.
    is_first: bool,
    /// The fields of a request have begun to come, and have not ended.
    in_fields: bool,
    /// The last of their frames is the one being skipped.
    ends_fields: bool,
    /// The stream of the latest request.
    stream: [u8; 4],
}

/// Why a connection is not heard any longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Noise {
    #[error("the client sends more control frames than it has use for")]
    Flood,
    #[error("the client's first frame is not SETTINGS")]
    Preface,
}

impl ControlFrameBudget {
    pub(super) fn new() -> Self {
        Self {
            budget: BUDGET_MAX,
            filled_at: Instant::now(),
            owed: 0,
            heard: 0,
            head: [0; 9],
            head_bytes: 0,
            skip: PREFACE.len(),
            is_first: true,
            in_fields: false,
            ends_fields: false,
            stream: [0; 4],
        }
    }

    /// A GOAWAY frame that tells which requests were heard: whatever comes later can be sent again
    /// elsewhere (RFC 9113, 6.8).
    pub(super) fn farewell(&self) -> [u8; 17] {
        let [a, b, c, d] = self.stream;
        [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]
    }

    /// Whether the fields of a request have begun to come, and have not ended.
    pub(super) fn is_in_fields(&self) -> bool {
        self.in_fields
    }

    /// So many bytes went to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        let acknowledged = bytes.min(self.owed);
        self.owed -= acknowledged;
        let earned = (bytes - acknowledged) as u64 / SENT_BYTES;
        self.budget = (self.budget + earned).min(BUDGET_MAX);
    }

    /// Whether enough was heard for now; the next turn begins.
    pub(super) fn ends_turn(&mut self) -> bool {
        let ends = self.heard >= TURN;
        if ends {
            self.heard = 0;
        }
        ends
    }

    /// Looks at the bytes that come next.
    pub(super) fn watch(&mut self, mut bytes: &[u8]) -> Result<(), Noise> {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if self.skip == 0 && self.ends_fields {
                (self.in_fields, self.ends_fields) = (false, false);
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let missing = self.head.get_mut(self.head_bytes..).unwrap_or_default();
            let taken = missing.len().min(bytes.len());
            let (came, rest) = bytes.split_at(taken);
            missing.iter_mut().zip(came).for_each(|(place, byte)| *place = *byte);
            (self.head_bytes, bytes) = (self.head_bytes + taken, rest);
            if self.head_bytes == self.head.len() {
                self.head_bytes = 0;
                self.frame()?;
            }
        }
    }

    /// A frame whose head is whole.
    fn frame(&mut self) -> Result<(), Noise> {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        if std::mem::take(&mut self.is_first) && kind != SETTINGS {
            return Err(Noise::Preface);
        }
        self.heard += 1;
        if flags & ACK == 0 {
            self.owed += match kind {
                PING => PING_ACK_BYTES,
                SETTINGS => SETTINGS_ACK_BYTES,
                _ => 0,
            };
        }
        match kind {
            // As long as the body goes on, so small a piece of it is no use.
            DATA if self.skip < DATA_BYTES_MIN && flags & END_STREAM == 0 => self.draw(FRAME),
            DATA => Ok(()),
            HEADERS | CONTINUATION => {
                self.heard += self.skip / FIELD_BYTES;
                // A lower one has trailers.
                self.stream = self.stream.max(stream);
                self.in_fields = true;
                self.ends_fields = flags & END_HEADERS > 0;
                Ok(())
            }
            RST_STREAM => self.draw(RESET),
            _ => self.draw(FRAME),
        }
    }

    fn draw(&mut self, cost: u64) -> Result<(), Noise> {
        let added = worth(self.filled_at.elapsed());
        if added > 0 {
            self.filled_at = Instant::now();
            self.budget = (self.budget + added).min(BUDGET_MAX);
        }
        self.budget = self.budget.checked_sub(cost).ok_or(Noise::Flood)?;
        Ok(())
    }
}

/// The part of the budget that comes back in so much time.
fn worth(passed: Duration) -> u64 {
    let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    millis.saturating_mul(PER_SECOND) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn begun() -> ControlFrameBudget {
        let mut pace = ControlFrameBudget::new();
        pace.watch(PREFACE).unwrap();
        pace.watch(&frame(SETTINGS, 0, &[])).unwrap();
        pace
    }

    #[test]
    fn fields_are_followed_however_they_are_cut() {
        let mut pace = begun();
        let fields = [frame(HEADERS, 0, b"abc"), frame(CONTINUATION, END_HEADERS, b"de")].concat();
        for (byte, at) in fields.iter().zip(1..) {
            pace.watch(&[*byte]).unwrap();
            assert_eq!(pace.is_in_fields(), (9..fields.len()).contains(&at), "{at}");
        }
        pace.watch(&[fields.as_slice(), b"\0"].concat()).unwrap();
        assert!(!pace.is_in_fields());
        assert_eq!(pace.farewell()[9..], [0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn control_frames_draw_on_what_was_sent_and_requests_on_nothing() {
        let mut pace = begun();
        let (ping, reset) = (frame(6, 0, &[0; 8]), frame(RST_STREAM, 0, &[0; 4]));
        for _ in 0..2 * BUDGET_MAX {
            pace.watch(&frame(HEADERS, END_HEADERS, b"a")).unwrap();
            pace.watch(&frame(DATA, 0, &[0; DATA_BYTES_MIN])).unwrap();
            pace.watch(&frame(DATA, END_STREAM, b"a")).unwrap();
            // As much as a small answer and its end.
            pace.sent(240);
            pace.watch(&reset).unwrap();
        }
        let mut pings = 0;
        while pace.watch(&ping.repeat(10)).is_ok() {
            // Their own answers earn nothing.
            pace.sent(10 * PING_ACK_BYTES);
            pings += 10;
            assert!(pings <= BUDGET_MAX + 10, "a flood is not noticed");
        }
        assert!(pings >= BUDGET_MAX - 3 * RESET, "{pings}");
    }

    #[test]
    fn the_first_frame_is_settings() {
        let mut pace = ControlFrameBudget::new();
        pace.watch(PREFACE).unwrap();
        assert!(matches!(pace.watch(&frame(6, 0, &[0; 8])), Err(Noise::Preface)));
    }
}
