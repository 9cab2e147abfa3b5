//! GGUF files that are wrong in every way the format notes list: each is refused with a message that says how.

use hearth_format::{Bytes, Gguf};

use crate::draft::Draft;

fn refusal(bytes: Vec<u8>) -> String {
    Gguf::from_bytes(Bytes::new(bytes), "m.gguf")
        .expect_err("the file is wrong")
        .to_string()
}

#[test]
fn each_wrong_gguf_is_named() {
    let draft = Draft::new;
    let u64s = |n: u64| n.to_le_bytes().to_vec();
    let array = |kind: u32, count: u64| [kind.to_le_bytes().to_vec(), u64s(count)].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "only 0 bytes"),
        ("short", b"GGUF\x03\0\0\0".to_vec(), "only 8 bytes"),
        ("magic", vec![7; 64], "starts with [07, 07, 07, 07]"),
        (
            "json",
            b"{\"a\": 1}                                ".to_vec(),
            "looks like JSON",
        ),
        (
            "html",
            b"<!DOCTYPE html>                          ".to_vec(),
            "looks like HTML",
        ),
        (
            "git lfs",
            b"version https://git-lfs.github.com/spec/v1".to_vec(),
            "Git LFS pointer",
        ),
        (
            "ggml",
            b"tjgg\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
            "old GGML",
        ),
        (
            "version 1",
            Draft {
                version: 1,
                ..draft()
            }
            .bytes(),
            "version 1",
        ),
        (
            "version 9",
            Draft {
                version: 9,
                ..draft()
            }
            .bytes(),
            "version 9 is not supported, only 2 and 3",
        ),
        (
            "big-endian",
            Draft {
                version: 3 << 24,
                ..draft()
            }
            .bytes(),
            "byte order",
        ),
        (
            "huge tensor count",
            Draft {
                tensors: 1 << 63,
                ..draft()
            }
            .bytes(),
            "tensor count 9223372036854775808 is impossible",
        ),
        (
            "huge key count",
            Draft {
                pairs: u64::MAX,
                ..draft()
            }
            .bytes(),
            "key count 18446744073709551615 is impossible",
        ),
        (
            "key length wraps",
            Draft {
                pairs: 1,
                ..draft()
            }
            .raw(&[0xFF; 8])
            .raw(&[0; 16])
            .bytes(),
            "claims 18446744073709551615 bytes",
        ),
        (
            "empty key",
            draft().pair("", 4, &[0; 16]).bytes(),
            "is empty",
        ),
        (
            "key not UTF-8",
            Draft {
                pairs: 1,
                ..draft()
            }
            .text(&[0xFF, 0xFE])
            .raw(&[0; 16])
            .bytes(),
            "not UTF-8",
        ),
        (
            "key twice",
            draft().pair("a", 0, &[1]).pair("a", 0, &[2]).bytes(),
            "key 'a' occurs twice",
        ),
        (
            "value type",
            draft().pair("a", 13, &[0; 16]).bytes(),
            "unknown value type 13",
        ),
        (
            "nested array",
            draft().pair("a", 9, &array(9, 1)).raw(&[0; 16]).bytes(),
            "nested arrays",
        ),
        (
            "array of 2^61 u64",
            draft().pair("a", 9, &array(10, 1 << 61)).bytes(),
            "claims 2305843009213693952 elements",
        ),
        (
            "array element type",
            draft().pair("a", 9, &array(99, 1)).bytes(),
            "unknown element type 99",
        ),
        (
            "truncated value",
            draft().pair("abcdef", 10, &[0; 3]).bytes(),
            "truncated",
        ),
        (
            "architecture is a number",
            draft()
                .pair("general.architecture", 4, &[1, 0, 0, 0])
                .bytes(),
            "not a string",
        ),
        (
            "alignment is text",
            draft().pair("general.alignment", 8, &u64s(0)).bytes(),
            "general.alignment",
        ),
        (
            "alignment 0",
            draft().pair("general.alignment", 4, &[0; 4]).bytes(),
            "power of two",
        ),
        (
            "alignment 24",
            draft().pair("general.alignment", 4, &[24, 0, 0, 0]).bytes(),
            "power of two",
        ),
        (
            "quantization version",
            draft()
                .pair("general.quantization_version", 4, &[1, 0, 0, 0])
                .tensor("t", &[32], 8, 0)
                .data(64)
                .bytes(),
            "quantization_version is 1 (UINT32), only 2 is supported",
        ),
        (
            "five dimensions",
            draft().tensor("t", &[1; 5], 0, 0).data(64).bytes(),
            "5 dimensions",
        ),
        (
            "dimension 0",
            draft().tensor("t", &[0, 1 << 60], 0, 0).data(64).bytes(),
            "impossible sizes",
        ),
        (
            "product wraps",
            draft()
                .tensor("t", &[1 << 32, 1 << 32], 0, 0)
                .data(64)
                .bytes(),
            "impossible sizes",
        ),
        (
            "type id",
            draft().tensor("t", &[32], 77, 0).data(64).bytes(),
            "type id 77: unknown",
        ),
        (
            "foreign type",
            draft().tensor("t", &[32], 138, 0).data(64).bytes(),
            "ik_llama.cpp",
        ),
        (
            "row not of blocks",
            draft().tensor("t", &[33], 8, 0).data(64).bytes(),
            "row of 33 values is not a multiple of 32 (Q8_0)",
        ),
        (
            "offset not aligned",
            draft().tensor("t", &[4], 0, 7).data(64).bytes(),
            "offset 7 is not aligned",
        ),
        (
            "past the end",
            draft().tensor("t", &[400], 0, 0).data(64).bytes(),
            "probably incomplete",
        ),
        (
            "offset wraps",
            draft().tensor("t", &[4], 0, u64::MAX - 31).data(64).bytes(),
            "past the end",
        ),
        (
            "overlap",
            draft()
                .tensor("t", &[16], 0, 0)
                .tensor("u", &[16], 0, 32)
                .data(128)
                .bytes(),
            "'t' and 'u' overlap",
        ),
        (
            "name twice",
            draft()
                .tensor("t", &[8], 0, 0)
                .tensor("t", &[8], 0, 32)
                .data(64)
                .bytes(),
            "'t' occurs twice",
        ),
        (
            "empty tensor name",
            draft().tensor("", &[8], 0, 0).data(64).bytes(),
            "is empty",
        ),
        (
            "key with NUL",
            draft().pair("a\0b", 4, &[0; 4]).bytes(),
            "holds a NUL byte",
        ),
        (
            "key too long",
            draft().pair(&"k".repeat(65_536), 4, &[0; 4]).bytes(),
            "key at offset 24 claims 65536 bytes",
        ),
        (
            "text longer than the file",
            draft().pair("abc", 8, &u64s(1 << 40)).raw(&[0; 8]).bytes(),
            "text of key 'abc' at offset 39 claims 1099511627776 bytes",
        ),
        (
            "text in an array longer than the file",
            draft()
                .pair("abc", 9, &array(8, 2))
                .raw(&u64s(0))
                .raw(&u64s(u64::MAX))
                .bytes(),
            "a text of key 'abc' at offset 59 claims 18446744073709551615 bytes",
        ),
        (
            "array of too many texts",
            draft()
                .pair("abc", 9, &array(8, 1 << 20))
                .raw(&[0; 64])
                .bytes(),
            "claims 1048576 elements of at least 8 bytes",
        ),
        (
            "array of nothing but a count",
            draft().pair("abc", 9, &array(7, u64::MAX)).bytes(),
            "claims 18446744073709551615 elements",
        ),
        (
            "version 0",
            Draft {
                version: 0,
                ..draft()
            }
            .bytes(),
            "version 0 is not supported",
        ),
        (
            "alignment 2^31",
            draft()
                .pair("general.alignment", 4, &(1u32 << 31).to_le_bytes())
                .bytes(),
            "general.alignment is 2147483648 (UINT32), expected a U32 power of two up to 1073741824",
        ),
        (
            "alignment is U64",
            draft().pair("general.alignment", 10, &u64s(32)).bytes(),
            "general.alignment is 32 (UINT64)",
        ),
        (
            "tensor name too long",
            draft()
                .tensor(&"t".repeat(256), &[8], 0, 0)
                .data(64)
                .bytes(),
            "tensor name at offset 24 claims 256 bytes",
        ),
        (
            "tensor name with NUL",
            draft().tensor("t\0", &[8], 0, 0).data(64).bytes(),
            "holds a NUL byte",
        ),
        (
            "tensor name not UTF-8",
            Draft {
                tensors: 1,
                ..draft()
            }
            .text(&[0xC3, 0x28])
            .raw(&[0; 40])
            .bytes(),
            "tensor name \"\u{FFFD}(\" is not UTF-8",
        ),
        (
            "2^32 - 1 dimensions",
            Draft {
                tensors: 1,
                ..draft()
            }
            .text(b"t")
            .raw(&[0xFF; 32])
            .bytes(),
            "'t' has 4294967295 dimensions",
        ),
        (
            "dimension 2^63",
            draft().tensor("t", &[1 << 63], 0, 0).data(64).bytes(),
            "impossible sizes",
        ),
        (
            "bytes wrap",
            draft().tensor("t", &[1 << 61], 28, 0).data(64).bytes(),
            "impossible sizes",
        ),
        (
            "data section past the end",
            draft().tensor("t", &[1], 0, 0).bytes(),
            "past the end of the file",
        ),
        (
            "part of a split",
            draft().pair("split.count", 2, &[2, 0]).bytes(),
            "one of 2 parts",
        ),
        (
            "split count is text",
            draft().pair("split.count", 8, &u64s(0)).bytes(),
            "'split.count' is no number of parts",
        ),
        (
            "split count is huge",
            draft().pair("split.count", 4, &[0xFF; 4]).bytes(),
            "'split.count' is no number of parts",
        ),
    ];
    for (name, bytes, want) in cases {
        let message = refusal(bytes);
        assert!(
            message.starts_with("m.gguf: ") && message.contains(want),
            "{name}: {message}"
        );
    }
}

#[test]
fn removed_types_are_named() {
    for (id, want) in [
        (4, "Q4_2 was removed"),
        (5, "Q4_3 was removed"),
        (9, "Q8_1 is for activations"),
        (31, "Q4_0_4_4 was removed from GGUF; use Q4_0"),
        (32, "Q4_0_4_8 was removed from GGUF; use Q4_0"),
        (33, "Q4_0_8_8 was removed from GGUF; use Q4_0"),
        (36, "IQ4_NL_4_4 was removed from GGUF; use IQ4_NL"),
        (37, "IQ4_NL_4_8 was removed from GGUF; use IQ4_NL"),
        (38, "IQ4_NL_8_8 was removed from GGUF; use IQ4_NL"),
        (43, "type id 43: unknown"),
        (97, "ik_llama.cpp"),
    ] {
        let bytes = Draft::new().tensor("t", &[32], id, 0).data(64).bytes();
        let message = refusal(bytes);
        assert!(message.contains(want), "{id}: {message}");
    }
}

/// What the text of the format leaves open, or other readers take, is taken.
#[test]
fn odd_but_sound_files_are_read() {
    let cases: Vec<(&str, Vec<u8>, usize)> = vec![
        ("nothing in it", Draft::new().bytes(), 0),
        (
            "version 2",
            Draft {
                version: 2,
                ..Draft::new()
            }
            .bytes(),
            0,
        ),
        (
            "any non-zero byte is true",
            Draft::new().pair("b", 7, &[7]).bytes(),
            0,
        ),
        (
            "old blocks' version, but no blocks",
            Draft::new()
                .pair("general.quantization_version", 4, &[1, 0, 0, 0])
                .tensor("t", &[4], 0, 0)
                .data(16)
                .bytes(),
            1,
        ),
        (
            "no dimensions: one value",
            Draft::new().tensor("t", &[], 0, 0).data(4).bytes(),
            1,
        ),
        (
            "a gap, the later tensor first, no padding at the end",
            Draft::new()
                .tensor("t", &[1], 0, 128)
                .tensor("u", &[1], 0, 0)
                .data(132)
                .bytes(),
            2,
        ),
        (
            "a name longer than llama.cpp's limit",
            Draft::new()
                .tensor(&"t".repeat(255), &[1], 0, 0)
                .data(4)
                .bytes(),
            1,
        ),
        (
            "a part count of one",
            Draft::new()
                .pair("split.count", 10, &1u64.to_le_bytes())
                .bytes(),
            0,
        ),
    ];
    for (name, bytes, tensors) in cases {
        let file =
            Gguf::from_bytes(Bytes::new(bytes), "m.gguf").unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(file.tensors().len(), tensors, "{name}");
        if let Some(flag) = file.metadata().bool("b") {
            assert!(flag, "{name}");
        }
        file.tensors().iter().for_each(|t| drop(t.to_f32()));
    }
}
