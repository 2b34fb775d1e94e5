//! Looks at all bytes of a text without a branch, so that the processor takes many at once: what is
//! looked for is nearly never there.

/// Whether any of the bytes is such a one.
pub(crate) fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(0, |found, byte| found | u8::from(is(*byte))) > 0
}

/// Whether any three bytes in a row are such.
pub(crate) fn any_three(bytes: &[u8], are: impl Fn(u8, u8, u8) -> bool) -> bool {
    let triples = bytes.iter().zip(bytes.iter().skip(1)).zip(bytes.iter().skip(2));
    triples.fold(0, |found, ((one, two), three)| found | u8::from(are(*one, *two, *three))) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_is_found_wherever_it_stands() {
        for length in 0..70 {
            let mut bytes = vec![b'x'; length];
            assert!(!any(&bytes, |byte| byte == b'a'));
            for at in 0..length {
                bytes[at] = b'a';
                assert!(any(&bytes, |byte| byte == b'a'));
                let runs = any_three(&bytes, |one, two, three| {
                    one == b'a' && two == b'x' && three == b'x'
                });
                assert_eq!(runs, at + 2 < length);
                bytes[at] = b'x';
            }
        }
    }
}
