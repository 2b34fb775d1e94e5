//! The identifiers that Changegate makes: of a change, of an approval, of a request, and of a
//! token's holder.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use http::HeaderValue;
use utoipa::ToSchema;

use crate::base::clock::Timestamp;

/// How much randomness a thread fetches at a time for the ids that it makes, in bytes.
const RESERVE_BYTES: usize = 4096;

/// Names one [`Change`](crate::audit::record::Change): `chg_` and 32 hex digits, of which the
/// first 12 are the milliseconds of its making, so that ids sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^chg_[0-9a-f]{32}$")]
#[schema(description = "Names one change; sorts by the time of its making.")]
pub struct ChangeId([u8; 16]);

/// Names one approval, or one review of a change that was let through by break-glass: `apr_` and 32
/// hex digits, as in a [`ChangeId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^apr_[0-9a-f]{32}$")]
#[schema(description = "Names one approval; sorts by the time of its making.")]
pub struct ApprovalId([u8; 16]);

/// Names one request: the client's own id where it is well-formed, else `req_` and 32 hex digits,
/// of which the first 12 are as in a [`ChangeId`], so that an index of them grows at one end.
/// It is kept as the header's value that it is sent as, both ways, so that a copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

/// Stands for a personal access token wherever one is named: `pat_` and the first 16 hex digits
/// of a keyed digest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^pat_[0-9a-f]{16}$")]
pub struct Fingerprint([u8; 8]);

/// Text that is not an identifier of the wanted kind.
#[derive(Debug, thiserror::Error)]
#[error("not {kind}")]
pub struct BadId {
    kind: &'static str,
}

/// Ids of 16 bytes that sort by the time of their making, each with the start of its text and the
/// words for what is none.
macro_rules! sorting_ids {
    ($($id:ident $start:literal $text:literal $bytes:literal)*) => {$(
        impl $id {
            /// A new id, made at `now`.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                Self(sorting(now))
            }

            /// The id as its 16 bytes, the form the store keeps.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// When it was made, by its first 12 digits.
            #[must_use]
            pub fn made_at(&self) -> Timestamp {
                let millis = self.0.iter().take(6).fold(0, |all, byte| all << 8 | i64::from(*byte));
                Timestamp::from_millis(millis)
            }

            /// The id from the form the store keeps.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadId> {
                bytes.try_into().map(Self).map_err(|_source| BadId { kind: $bytes })
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($start, "{}"), Hex(&self.0))
            }
        }

        impl FromStr for $id {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bytes = text.strip_prefix($start).and_then(unhex);
                bytes.map(Self).ok_or(BadId { kind: $text })
            }
        }

        impl serde::Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

sorting_ids! {
    ChangeId "chg_" "a change id (chg_ and 32 lower-case hex digits)" "16 bytes of a change id"
    ApprovalId "apr_" "an approval id (apr_ and 32 lower-case hex digits)"
        "16 bytes of an approval id"
}

impl RequestId {
    /// The most bytes a client's own request id may have to be kept.
    pub const BYTES_MAX: usize = 128;

    /// A new id, made at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut text = Vec::with_capacity(36);
        text.extend_from_slice(b"req_");
        text.extend(sorting(now).into_iter().flat_map(digits));
        Self::of(text.into())
    }

    /// A client's id where it is 1 to 128 bytes of `[A-Za-z0-9_.:-]`.
    #[must_use]
    pub fn well_formed(text: &str) -> Option<Self> {
        let fits = (1..=Self::BYTES_MAX).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        (fits && text.bytes().all(plain)).then(|| Self::of(Bytes::copy_from_slice(text.as_bytes())))
    }

    /// Of text that is known to be plain.
    fn of(text: Bytes) -> Self {
        Self(HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("req_")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as the value of a header.
    #[must_use]
    pub fn as_value(&self) -> &HeaderValue {
        &self.0
    }
}

impl Fingerprint {
    /// The fingerprint as its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The fingerprint whose digest starts with `bytes`.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The fingerprint as a number, for use as a key.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pat_{}", Hex(&self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.strip_prefix("pat_")
            .and_then(unhex)
            .map(Self)
            .ok_or(BadId { kind: "a token fingerprint (pat_ and 16 lower-case hex digits)" })
    }
}

impl serde::Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Bytes that print as lower-case hex.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.chunks(16) {
            let mut text = [0; 32];
            for (pair, byte) in text.chunks_exact_mut(2).zip(chunk) {
                pair.copy_from_slice(&digits(*byte));
            }
            let text = text.get(..2 * chunk.len()).unwrap_or_default();
            f.write_str(std::str::from_utf8(text).unwrap_or_default())?;
        }
        Ok(())
    }
}

/// A byte's two hex digits.
const fn digits(byte: u8) -> [u8; 2] {
    const fn digit(nibble: u8) -> u8 {
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    }
    [digit(byte >> 4), digit(byte & 15)]
}

/// Reads exactly `N` bytes of lower-case hex.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    // Nothing has two spellings.
    (!text.contains(|c: char| c.is_ascii_uppercase())).then_some(bytes)
}

/// `N` bytes from the operating system's random source.
///
/// # Panics
/// Where the operating system has none to give: nothing safe could follow.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "without randomness no id or key can be made")]
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// 6 bytes of milliseconds, then random ones.
fn sorting(now: Timestamp) -> [u8; 16] {
    let mut bytes: [u8; 16] = distinct();
    let millis = u64::try_from(now.millis()).unwrap_or(0).to_be_bytes();
    for (place, byte) in bytes.iter_mut().zip(millis.iter().skip(2)) {
        *place = *byte;
    }
    bytes
}

/// `N` random bytes that need not be secret, such as an id's: from what the thread has in reserve,
/// so that an id costs no call to the operating system.
fn distinct<const N: usize>() -> [u8; N] {
    struct Reserve {
        bytes: [u8; RESERVE_BYTES],
        used: usize,
    }
    thread_local! {
        static RESERVE: RefCell<Reserve> =
            const { RefCell::new(Reserve { bytes: [0; RESERVE_BYTES], used: RESERVE_BYTES }) };
    }
    RESERVE.with_borrow_mut(|reserve| {
        if let Some(taken) = reserve.bytes.get(reserve.used..).and_then(<[u8]>::first_chunk) {
            reserve.used += N;
            return *taken;
        }
        *reserve = Reserve { bytes: random(), used: N };
        reserve.bytes.first_chunk().copied().unwrap_or_else(random)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_ids_differ_across_refills_of_the_reserve() {
        let now = Timestamp::from_millis(1_000);
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| RequestId::new(now)).collect();
        assert_eq!(ids.len(), 1_000);
        let shaped = |id: &RequestId| {
            id.as_str().strip_prefix("req_").and_then(unhex::<16>).is_some_and(|id| id != [0; 16])
        };
        assert!(ids.iter().all(shaped));
    }

    #[test]
    fn ids_survive_printing_and_sort_by_time() {
        let early = ChangeId::new(Timestamp::from_millis(1_000));
        let late = ChangeId::new(Timestamp::from_millis(2_000));
        assert!(early.to_string() < late.to_string());
        assert_eq!(early, early.to_string().parse().unwrap());
        assert!("chg_zz".parse::<ChangeId>().is_err());
        let shouted = early.to_string().replacen("chg_0", "chg_A", 1);
        assert!(shouted.parse::<ChangeId>().is_err(), "{shouted}");
        let holder = Fingerprint::from_bytes([0, 1, 2, 3, 4, 5, 6, 255]);
        assert_eq!(holder.to_string(), "pat_00010203040506ff");
        assert_eq!(holder, holder.to_string().parse().unwrap());
    }

    #[test]
    fn only_plain_request_ids_are_kept() {
        assert!(RequestId::well_formed("a.b-c_D:9").is_some());
        for bad in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(RequestId::well_formed(bad).is_none(), "{bad:?}");
        }
    }
}
