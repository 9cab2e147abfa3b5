//! The alphabet of byte-level vocabularies: each byte stands as one visible character.

/// The character that stands for a byte: itself where it is visible in Latin-1, else one from U+0100 on.
pub(crate) const fn to_char(byte: u8) -> char {
    let hidden = match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => return byte as char,
        0..=0x20 => byte,
        0x7F..=0xA0 => byte - 0x7F + 0x21,
        0xAD => 0x43,
    };
    match char::from_u32(0x100 + hidden as u32) {
        Some(c) => c,
        None => '\u{FFFD}',
    }
}

/// The byte that a character stands for, if it stands for one.
pub(crate) const fn to_byte(c: char) -> Option<u8> {
    Some(match c as u32 {
        n @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => n as u8,
        n @ 0x100..=0x120 => (n - 0x100) as u8,
        n @ 0x121..=0x142 => (n - 0x121 + 0x7F) as u8,
        0x143 => 0xAD,
        _ => return None,
    })
}

/// The bytes that a byte-level token stands for; nothing where a character stands for none.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(text)
        .ok()?
        .chars()
        .map(to_byte)
        .collect()
}

/// The byte of a token like `<0x0A>`.
pub(crate) fn of_token(text: &[u8]) -> Option<u8> {
    let hex = std::str::from_utf8(text)
        .ok()?
        .strip_prefix("<0x")?
        .strip_suffix('>')?;
    if hex.len() != 2 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(hex, 16).ok()
}

/// The bytes of a token that is written with escapes: `\t`, `\n`, `\r`, `\xNN`, and any other character for itself.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |digits: &[u8]| {
            std::str::from_utf8(digits)
                .ok()
                .and_then(|d| u8::from_str_radix(d, 16).ok())
        };
        let (byte, used) = match (byte, tail.first()) {
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'x')) => match tail.get(1..3).and_then(hex) {
                Some(value) => (value, 4),
                None => (b'x', 2),
            },
            (b'\\', Some(&other)) => (other, 2),
            _ => (byte, 1),
        };
        out.push(byte);
        rest = &rest[used..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_is_a_bijection() {
        for byte in 0..=255 {
            assert_eq!(to_byte(to_char(byte)), Some(byte));
        }
        assert_eq!(to_char(b' '), 'Ġ');
        assert_eq!(to_char(b'\n'), 'Ċ');
        assert_eq!(to_char(0xAD), 'Ń');
        assert_eq!(decode("Ġthe".as_bytes()).as_deref(), Some(&b" the"[..]));
        assert_eq!(decode("▁the".as_bytes()), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(br"a\tb\\\x41\xZ\'\"), b"a\tb\\AxZ'\\");
    }

    #[test]
    fn byte_tokens_are_two_hex_digits() {
        for (text, byte) in [
            ("<0x0A>", Some(10)),
            ("<0xfF>", Some(255)),
            ("<0xA>", None),
            ("<0x+1>", None),
            ("0x0A", None),
        ] {
            assert_eq!(of_token(text.as_bytes()), byte, "{text}");
        }
    }
}
