//! Looks at all bytes of a text without a branch, so that the processor takes many at once: what is
//! looked for is nearly never there.

/// How many bytes are looked at together, and how many of a shorter text. The last of them are
/// looked at twice rather than one by one.
const WIDE: usize = 16;
const NARROW: usize = 8;

/// Whether any of the bytes is such a one.
pub(crate) fn any(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let within = |some: &[u8]| some.iter().fold(0, |found, byte| found | u8::from(is(*byte)));
    let found = if let Some(last) = bytes.last_chunk::<WIDE>() {
        let (wide, _last) = bytes.as_chunks::<WIDE>();
        wide.iter().fold(within(last), |found, some| found | within(some))
    } else if let Some(last) = bytes.last_chunk::<NARROW>() {
        let first = bytes.first_chunk::<NARROW>();
        first.map_or(0, |first| within(first)) | within(last)
    } else {
        within(bytes)
    };
    found > 0
}

/// Whether any three bytes in a row are such.
pub(crate) fn any_three(bytes: &[u8], are: impl Fn(u8, u8, u8) -> bool) -> bool {
    let from = |start: usize| bytes.get(start..).unwrap_or_default();
    let found = match bytes.len().saturating_sub(2) {
        triples @ WIDE.. => each_three::<WIDE>(bytes, triples, &are),
        triples @ NARROW.. => each_three::<NARROW>(bytes, triples, &are),
        _few => three(bytes, from(1), from(2), &are),
    };
    found > 0
}

/// Looks at so many triples, which are `N` or more, `N` of them together. Not 0 where one is such.
fn each_three<const N: usize>(
    bytes: &[u8],
    triples: usize,
    are: &impl Fn(u8, u8, u8) -> bool,
) -> u8 {
    let from = |start: usize| bytes.get(start..)?.first_chunk::<N>();
    let together = |start: usize| match (from(start), from(start + 1), from(start + 2)) {
        (Some(ones), Some(twos), Some(threes)) => three(ones, twos, threes, are),
        _beyond => 0,
    };
    let last = triples - N;
    (0..last).step_by(N).fold(together(last), |found, start| found | together(start))
}

fn three(ones: &[u8], twos: &[u8], threes: &[u8], are: &impl Fn(u8, u8, u8) -> bool) -> u8 {
    let triples = ones.iter().zip(twos).zip(threes);
    triples.fold(0, |found, ((one, two), three)| found | u8::from(are(*one, *two, *three)))
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
