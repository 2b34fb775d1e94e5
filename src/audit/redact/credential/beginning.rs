//! The beginnings of credentials, three bytes of each: nearly all texts hold none, and are done
//! with after one look at each byte.

use crate::audit::redact::work::looked;

/// Any byte.
const ANY: &[u8] = b"";

/// A letter, or what stands between a name and the sign behind it.
const IN_NAME: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\"' \t\\_-.";

/// Three bytes in a row that a credential begins with, or is announced by: each is one of a set.
const BEGINNINGS: [[&[u8]; 3]; 16] = [
    [b"p", b"t", b"-"],
    [b"s", b"k", b"-"],
    [b"g", b"h", b"oprsu"],
    // `github_pat_`.
    [b"b", b"_", b"p"],
    [b"g", b"l", b"p"],
    [b"x", b"o", b"x"],
    [b"KS", b"I", b"A"],
    [b"e", b"y", b"J"],
    [b"B", b"E", b"G"],
    [b"bB", b"eE", b"aA"],
    // `Basic`.
    [b"sS", b"iI", b"cC"],
    [b":", b"/\\", b"/\\"],
    // `hooks.slack.com`.
    [b"sS", b".", b"sS"],
    [IN_NAME, b"=:", ANY],
    [b"%", ANY, ANY],
    // The mark of a cut, before which a part of one may stand.
    [b"\xe2", b"\x80", b"\xa6"],
];

/// For each place in a row, and each byte: a bit for each beginning that it fits.
static FITTING: [[u16; 256]; 3] = fitting();

#[expect(clippy::indexing_slicing, reason = "where it leaves an array, the build fails")]
const fn fitting() -> [[u16; 256]; 3] {
    let mut table = [[0; 256]; 3];
    let mut beginning = 0;
    while beginning < BEGINNINGS.len() {
        let mut place = 0;
        while place < 3 {
            let set = BEGINNINGS[beginning][place];
            let mut byte = 0;
            while byte < 256 {
                let mut fits = set.is_empty();
                let mut member = 0;
                while member < set.len() {
                    fits |= set[member] as usize == byte;
                    member += 1;
                }
                table[place][byte] |= (fits as u16) << beginning;
                byte += 1;
            }
            place += 1;
        }
        beginning += 1;
    }
    table
}

/// Whether a beginning of any credential stands in `text`, be it in the midst of a word.
#[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
pub(in crate::audit::redact) fn may_hold_one(text: &str) -> bool {
    looked(text.len());
    let [first, second, third] = &FITTING;
    let from = |start: usize| text.as_bytes().get(start..).unwrap_or_default();
    let rows = from(0).iter().zip(from(1)).zip(from(2));
    // Without a branch, so that the processor takes several at once.
    let found = rows.fold(0, |found, ((one, two), three)| {
        let fits = first[usize::from(*one)] & second[usize::from(*two)];
        found | fits & third[usize::from(*three)]
    });
    found > 0
}
