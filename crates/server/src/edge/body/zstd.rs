//! Bodies that come compressed with zstd, as some clients send them.

use std::io::Read;

use ruzstd::decoding::StreamingDecoder;

use crate::edge::refusal::{Kind, Refusal};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Every decoder should manage windows up to here (RFC 8878, 3.1.1.1.2), in bytes.
const LARGEST_WINDOW: u64 = 8 << 20;

/// Decodes one or more frames into at most `limit` bytes.
///
/// # Errors
/// The data is no zstd, breaks off, asks for a window larger than that and [`LARGEST_WINDOW`], or holds more than `limit` bytes.
pub(crate) fn decode(mut data: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut decoded = Vec::new();
    while !data.is_empty() {
        // The decoder reserves what the frame asks for, so that is looked at first.
        let window = window(data).ok_or_else(|| broken("no frame begins where one is expected"))?;
        if window > LARGEST_WINDOW.max(limit as u64) {
            return Err(too_large(limit));
        }
        let frame = StreamingDecoder::new(&mut data).map_err(|error| broken(&error.to_string()))?;
        let room = limit.saturating_sub(decoded.len()) as u64;
        frame
            .take(room + 1)
            .read_to_end(&mut decoded)
            .map_err(|error| broken(&error.to_string()))?;
        if decoded.len() > limit {
            return Err(too_large(limit));
        }
    }
    Ok(decoded)
}

/// The window that a frame asks for, in bytes (RFC 8878, 3.1.1.1); `None` where no whole header stands here.
fn window(data: &[u8]) -> Option<u64> {
    let (descriptor, rest) = data.strip_prefix(&MAGIC)?.split_first()?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let byte = *rest.first()?;
        let base = 1u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let field = rest.get(dictionary..dictionary + length)?;
    let mut bytes = [0; 8];
    bytes[..length].copy_from_slice(field);
    // A size of two bytes starts at 256.
    u64::from_le_bytes(bytes).checked_add(if length == 2 { 256 } else { 0 })
}

fn broken(reason: &str) -> Refusal {
    Refusal::new(
        Kind::Invalid,
        format!("the body says it is zstd and cannot be decoded: {reason}"),
    )
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Kind::TooLarge,
        format!(
            "the compressed body holds more than the limit of {limit} bytes: send less, or raise the limit"
        ),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    #[test]
    fn decodes_frames_one_after_another() {
        let mut data = compress_to_vec(&b"{\"a\":"[..], CompressionLevel::Fastest);
        data.extend(compress_to_vec(&b"1}"[..], CompressionLevel::Uncompressed));
        assert_eq!(decode(&data, 1 << 20).unwrap(), b"{\"a\":1}");
    }

    #[test]
    fn ghsa_decompression_bomb_cve_2024_12886() {
        let data = compress_to_vec(&vec![b' '; 3 << 20][..], CompressionLevel::Fastest);
        assert!(data.len() < 4000, "{} bytes are no bomb", data.len());
        assert_eq!(decode(&data, 2 << 20).unwrap_err().kind, Kind::TooLarge);
    }

    #[test]
    fn a_window_beyond_the_limit_reserves_nothing() {
        for byte in [0xff, 0x80, 0xa0] {
            let data = [&MAGIC[..], &[0x00, byte, 1, 0, 0]].concat();
            assert_eq!(
                decode(&data, 20_000_000).unwrap_err().kind,
                Kind::TooLarge,
                "{byte:x}"
            );
        }
        let data = [&MAGIC[..], &[0xe0], &u64::MAX.to_le_bytes(), &[1, 0, 0]].concat();
        assert_eq!(decode(&data, 20_000_000).unwrap_err().kind, Kind::TooLarge);
    }

    proptest! {
        #[test]
        fn never_panics(data in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
            prop_assert!(decode(&[&MAGIC[..], &data].concat(), 4096).map_or(true, |text| text.len() <= 4096));
            let whole = compress_to_vec(&data[..], CompressionLevel::Fastest);
            prop_assert!(decode(&whole, 4096).unwrap() == data);
            if cut < whole.len() && cut > 0 {
                prop_assert!(decode(&whole[..cut], 4096).is_err());
            }
        }
    }
}
