//! The codings that a body may hide behind, and back. What compresses does so by storing: that is
//! as good a stream of its format as any.

/// A text in the coding of that name.
pub(super) fn encode(name: &str, text: &[u8]) -> Option<Vec<u8>> {
    Some(match name {
        "gzip" => {
            let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
            bytes.extend(stored(text));
            bytes.extend_from_slice(&crc32(text).to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
            bytes
        }
        "deflate" => {
            [b"\x78\x01".to_vec(), stored(text), adler32(text).to_be_bytes().to_vec()].concat()
        }
        "br" => {
            // A window of 16 bits, one meta-block that is not compressed, an empty last one.
            let length = u32::try_from(text.len()).ok()?.checked_sub(1)?;
            let head = (length & 0xffff) << 4 | 1 << 20;
            let [a, b, c, _] = head.to_le_bytes();
            [&[a, b, c][..], text, b"\x03"].concat()
        }
        "zstd" => zstd::encode_all(text, 0).ok()?,
        "chunked" => {
            let mut bytes = format!("{:x}\r\n", text.len()).into_bytes();
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(b"\r\n0\r\n\r\n");
            bytes
        }
        "utf16le" => utf16(text, u16::to_le_bytes),
        "utf16be" => utf16(text, u16::to_be_bytes),
        "utf32le" => {
            String::from_utf8_lossy(text).chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()
        }
        _ => return None,
    })
}

/// Decodes bytes as the most forgiving server would, whether their coding was named or not.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    match bytes {
        [0x1f, 0x8b, 8, 0, _, _, _, _, _, _, 1, a, b, _, _, text @ ..]
        | [0x78, 0x01, 1, a, b, _, _, text @ ..] => {
            text.get(..usize::from(u16::from_le_bytes([*a, *b]))).map(<[u8]>::to_vec)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd::decode_all(bytes).ok(),
        [a, b, c, text @ .., 3] if a.trailing_zeros() > 3 && c & 0xf0 == 0x10 => {
            let length = u32::from_le_bytes([*a, *b, *c, 0]) >> 4 & 0xffff;
            text.get(..=length as usize).map(<[u8]>::to_vec)
        }
        [0xff, 0xfe, rest @ ..] => Some(of_utf16(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Some(of_utf16(rest, u16::from_be_bytes)),
        [b'{', 0, 0, 0, ..] => {
            Some(bytes.chunks(4).filter_map(|four| four.first().copied()).collect())
        }
        [b'{', 0, ..] => Some(of_utf16(bytes, u16::from_le_bytes)),
        [0, b'{', ..] => Some(of_utf16(bytes, u16::from_be_bytes)),
        [0xef, 0xbb, 0xbf, rest @ ..] => Some(rest.to_vec()),
        _ => None,
    }
}

/// One stored block of RFC 1951.
fn stored(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), text].concat()
}

fn crc32(text: &[u8]) -> u32 {
    !text.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * 0xedb8_8320))
    })
}

fn adler32(text: &[u8]) -> u32 {
    let (a, b) = text.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

fn utf16(text: &[u8], bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    String::from_utf8_lossy(text).encode_utf16().flat_map(bytes).collect()
}

fn of_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Vec<u8> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|two| unit([two[0], two[1]])).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

#[test]
fn what_is_encoded_is_read_again() {
    let text = br#"{"a":"b"}"#;
    for name in ["gzip", "deflate", "br", "zstd", "utf16le", "utf16be", "utf32le"] {
        assert_eq!(decode(&encode(name, text).unwrap()).as_deref(), Some(&text[..]), "{name}");
    }
}
