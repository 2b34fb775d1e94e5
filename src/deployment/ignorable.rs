//! Characters that are not shown where they are not supported, so that two texts which differ by
//! them alone look the same.

/// The ranges of `Default_Ignorable_Code_Point`, from `DerivedCoreProperties.txt` of the Unicode
/// Character Database (unchanged from version 9.0 to 17.0).
const RANGES: [(u32, u32); 17] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1_BCA0, 0x1_BCA3),
    (0x1_D173, 0x1_D17A),
    (0xE_0000, 0xE_0FFF),
];

/// Whether `c` is ignored in display by default.
pub(super) fn is_ignorable(c: char) -> bool {
    let code = u32::from(c);
    // Nothing below the first range is ignorable, and most keys are all there.
    code >= 0xAD && RANGES.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::is_ignorable;

    #[test]
    fn what_is_ignorable_has_no_skeleton() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut text = [0; 4];
            let skeleton = unicode_security::skeleton(c.encode_utf8(&mut text)).next();
            assert!(!is_ignorable(c) || skeleton.is_none(), "{c:?}");
            assert!(is_ignorable(c) || skeleton.is_some(), "{c:?}");
        }
    }
}
