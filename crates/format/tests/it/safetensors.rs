//! safetensors files, right and wrong.

use hearth_format::{Bytes, SafeTensors};
use proptest::prelude::*;

use crate::draft::safetensors;

#[test]
fn each_wrong_safetensors_is_named() {
    let entry = |dtype: &str, shape: &str, at: &str| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":{at}}}"#)
    };
    let one = |e: String| format!(r#"{{"a":{e}}}"#);
    let ok = entry("F32", "[2]", "[0,8]");
    let cases = [
        ("short", vec![1, 2, 3], "only 3 bytes"),
        (
            "header length",
            u64::MAX.to_le_bytes().to_vec(),
            "header of 18446744073709551615 bytes",
        ),
        (
            "not JSON",
            safetensors("{nonsense", 0),
            "header is not valid",
        ),
        (
            "type",
            safetensors(&one(entry("F77", "[2]", "[0,8]")), 8),
            "type F77",
        ),
        (
            "size",
            safetensors(&one(entry("F32", "[3]", "[0,8]")), 8),
            "does not take 8 bytes",
        ),
        (
            "overflow",
            safetensors(&one(entry("F32", "[4294967296,4294967296,4]", "[0,8]")), 8),
            "impossible sizes",
        ),
        (
            "overflow hidden behind a 0",
            safetensors(
                &one(entry("F32", "[0,4294967296,4294967296,4]", "[0,0]")),
                0,
            ),
            "impossible sizes",
        ),
        (
            "header too long",
            100_000_001u64.to_le_bytes().to_vec(),
            "header of 100000001 bytes",
        ),
        (
            "overlap",
            safetensors(
                &format!(r#"{{"a":{ok},"b":{}}}"#, entry("F32", "[2]", "[4,12]")),
                12,
            ),
            "tensor 'b' lies at 4..12, expected to begin at 8",
        ),
        (
            "negative size",
            safetensors(&one(entry("F32", "[-1]", "[0,8]")), 8),
            "header is not valid",
        ),
        (
            "no offsets",
            safetensors(r#"{"a":{"dtype":"F32","shape":[2]}}"#, 8),
            "missing field `data_offsets`",
        ),
        (
            "not UTF-8",
            [4u64.to_le_bytes().as_slice(), b"{\"\xFF\""].concat(),
            "header is not valid",
        ),
        (
            "FP8",
            safetensors(&one(entry("F8_E4M3", "[8]", "[0,8]")), 8),
            "type F8_E4M3, which hearth does not read",
        ),
        (
            "hole",
            safetensors(&one(entry("F32", "[1]", "[4,8]")), 8),
            "expected to begin at 0",
        ),
        (
            "backwards",
            safetensors(&one(entry("F32", "[1]", "[8,4]")), 8),
            "expected to begin at 0",
        ),
        ("short data", safetensors(&one(ok.clone()), 4), "end by 4"),
        (
            "long data",
            safetensors(&one(ok.clone()), 12),
            "incomplete or damaged",
        ),
        (
            "name twice",
            safetensors(&format!(r#"{{"a":{ok},"a":{ok}}}"#), 8),
            "'a' occurs twice",
        ),
        (
            "metadata not text",
            safetensors(r#"{"__metadata__":{"a":1}}"#, 0),
            "header is not valid",
        ),
        (
            "deep",
            safetensors(&"[".repeat(100_000), 0),
            "header is not valid",
        ),
    ];
    for (name, bytes, want) in cases {
        let message = SafeTensors::from_bytes(Bytes::new(bytes), "m")
            .expect_err(name)
            .to_string();
        assert!(message.contains(want), "{name}: {message}");
    }
    let good =
        SafeTensors::from_bytes(Bytes::new(safetensors(&format!("  {}  ", one(ok)), 8)), "m")
            .unwrap();
    assert_eq!(good.tensor("a").unwrap().shape, [2]);
}

#[test]
fn empty_tensors_and_scalars_are_read() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "none":{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]},
        "one":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}"#;
    let file = SafeTensors::from_bytes(Bytes::new(safetensors(header, 2)), "m").unwrap();
    assert!(file.tensor("none").unwrap().to_f32().is_empty());
    assert_eq!(file.tensor("one").unwrap().to_f32(), [0.0]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u64..250) {
        let _ = SafeTensors::from_bytes(Bytes::new(bytes.clone()), "m");
        let _ = SafeTensors::from_bytes(Bytes::new([&length.to_le_bytes()[..], &bytes].concat()), "m");
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0123456789[]{},:\"-eF".to_vec())), 1..6),
    ) {
        let header = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"U8","shape":[4],"data_offsets":[24,28]}}"#;
        let mut bytes = safetensors(header, 28);
        for (at, byte) in changes {
            bytes[8 + at.index(header.len())] = byte;
        }
        if let Ok(file) = SafeTensors::from_bytes(Bytes::new(bytes), "m") {
            file.tensors().iter().for_each(|t| drop(t.to_f32()));
        }
    }

    #[test]
    fn no_shape_makes_the_reader_panic(shape in prop::collection::vec(prop_oneof![0u64..4, any::<u64>(), Just(1 << 32)], 0..5)) {
        let header = format!(r#"{{"a":{{"dtype":"F32","shape":{shape:?},"data_offsets":[0,0]}}}}"#);
        if let Ok(file) = SafeTensors::from_bytes(Bytes::new(safetensors(&header, 0)), "m") {
            prop_assert!(file.tensors()[0].to_f32().is_empty());
        }
    }
}
