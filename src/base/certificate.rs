//! The time in which an X.509 certificate holds (RFC 5280, 4.1.2.5), read from its DER.
//!
//! Only the few elements before it are walked over. rustls and webpki do not tell it, and a parser
//! of whole certificates would be the largest thing in the program that nobody else needs.

use crate::base::clock::Timestamp;

/// The tags of what comes before a certificate's validity, in order, and whether each must be there
/// (RFC 5280, 4.1): version, serial number, signature algorithm, issuer.
const BEFORE: [(u8, bool); 4] =
    [(0xa0, false), (INTEGER, true), (SEQUENCE, true), (SEQUENCE, true)];

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;

/// From when to when a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

/// Why a certificate does not hold at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lapse {
    /// Its time is over.
    #[error("expired on {0}")]
    Expired(Timestamp),
    /// Its time has not begun.
    #[error("is not valid before {0}")]
    NotYet(Timestamp),
}

impl Validity {
    /// The validity of a certificate in DER; `None` where it is none.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (certificate, _) = element(SEQUENCE, der)?;
        let (mut rest, _) = element(SEQUENCE, certificate)?;
        for (tag, required) in BEFORE {
            match element(tag, rest) {
                Some((_content, after)) => rest = after,
                None if required => return None,
                None => {}
            }
        }
        let (validity, _) = element(SEQUENCE, rest)?;
        let (not_before, validity) = time(validity)?;
        let (not_after, _) = time(validity)?;
        Some(Self { not_before, not_after })
    }

    /// Why the certificate does not hold at `now`; `None` where it does.
    pub(crate) fn lapse(&self, now: Timestamp) -> Option<Lapse> {
        if now > self.not_after {
            return Some(Lapse::Expired(self.not_after));
        }
        (now < self.not_before).then_some(Lapse::NotYet(self.not_before))
    }
}

/// The content of the element with this tag at the start of `der`, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    // The high bit says that the other seven count the bytes of the length (X.690, 8.1.3).
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The time at the start of `der`, and what follows it.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (text, rest, century) = if let Some((text, rest)) = element(GENERALIZED_TIME, der) {
        (text, rest, "")
    } else {
        let (text, rest) = element(UTC_TIME, der)?;
        // Two digits from 50 are of the last century (RFC 5280, 4.1.2.5.1).
        (text, rest, if text.first()? >= &b'5' { "19" } else { "20" })
    };
    let text = format!("{century}{}", str::from_utf8(text).ok()?);
    let digits = text.strip_suffix('Z').filter(|digits| digits.len() == 14 && digits.is_ascii())?;
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let (date, hour) = (format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8)), part(8, 10));
    let at = format!("{date}T{hour}:{}:{}Z", part(10, 12), part(12, 14));
    Some((Timestamp::parse(&at).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn certificate(from: i32, to: i32, names: usize) -> Vec<u8> {
        let names: Vec<_> = (0..names).map(|n| format!("host-{n}.example")).collect();
        let mut made = rcgen::CertificateParams::new(names).unwrap();
        made.not_before = rcgen::date_time_ymd(from, 2, 3);
        made.not_after = rcgen::date_time_ymd(to, 11, 30);
        made.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_time_is_read_in_both_forms_and_whatever_the_length() {
        // From 2050 on it is written with four digits of the year.
        for (from, to) in [(1975, 2001), (2020, 2049), (2049, 2050), (2050, 2999)] {
            for names in [1, 200, 4_000] {
                let validity = Validity::of(&certificate(from, to, names)).unwrap();
                assert_eq!(validity.not_before, at(&format!("{from}-02-03T00:00:00Z")));
                assert_eq!(validity.not_after, at(&format!("{to}-11-30T00:00:00Z")));
            }
        }
    }

    #[test]
    fn a_certificate_holds_from_its_first_second_to_its_last() {
        let validity = Validity::of(&certificate(2020, 2030, 1)).unwrap();
        let (first, last) = (validity.not_before, validity.not_after);
        assert_eq!(validity.lapse(first).or(validity.lapse(last)), None);
        let early = validity.lapse(at("2020-02-02T23:59:59Z")).unwrap().to_string();
        assert_eq!(early, "is not valid before 2020-02-03T00:00:00.000Z");
        let late = validity.lapse(at("2030-11-30T00:00:01Z")).unwrap().to_string();
        assert_eq!(late, "expired on 2030-11-30T00:00:00.000Z");
    }

    #[test]
    fn what_is_torn_or_no_certificate_has_no_time() {
        let whole = certificate(2020, 2030, 1);
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "{end}");
        }
        for place in 0..whole.len().min(200) {
            let mut other = whole.clone();
            other[place] ^= 0xff;
            // Whatever it says now, reading it ends.
            let _ = Validity::of(&other);
        }
        assert_eq!(Validity::of(b"0\x84\xff\xff\xff\xff"), None);
    }
}
