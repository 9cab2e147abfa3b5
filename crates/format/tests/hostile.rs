//! Files that are wrong in every way the format notes list: each is refused with a message that says how.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use hearth_format::{
    Array, BlockType, Bytes, Checkpoint, Gguf, GgufWriter, Metadata, SafeTensors, Value,
};
use proptest::prelude::*;

/// A GGUF file put together by hand, so that it can be wrong.
#[derive(Clone)]
struct Draft {
    version: u32,
    tensors: u64,
    pairs: u64,
    body: Vec<u8>,
    data: usize,
}

impl Draft {
    fn new() -> Self {
        Self {
            version: 3,
            tensors: 0,
            pairs: 0,
            body: Vec::new(),
            data: 0,
        }
    }

    fn text(mut self, text: &[u8]) -> Self {
        self.body.extend((text.len() as u64).to_le_bytes());
        self.body.extend(text);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.extend(bytes);
        self
    }

    fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.pairs += 1;
        self.text(key.as_bytes())
            .raw(&kind.to_le_bytes())
            .raw(value)
    }

    fn tensor(mut self, name: &str, sizes: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors += 1;
        let mut this = self
            .text(name.as_bytes())
            .raw(&(sizes.len() as u32).to_le_bytes());
        for size in sizes {
            this = this.raw(&size.to_le_bytes());
        }
        this.raw(&kind.to_le_bytes()).raw(&offset.to_le_bytes())
    }

    fn data(mut self, bytes: usize) -> Self {
        self.data = bytes;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensors.to_le_bytes());
        out.extend(self.pairs.to_le_bytes());
        out.extend(&self.body);
        if self.data > 0 {
            out.resize(out.len().next_multiple_of(32) + self.data, 0);
        }
        out
    }
}

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
            "version 9 is newer",
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
                .bytes(),
            "quantization version 1",
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
            "removed type",
            draft().tensor("t", &[32], 31, 0).data(64).bytes(),
            "use Q4_0",
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
    ];
    for (name, bytes, want) in cases {
        let message = refusal(bytes);
        assert!(
            message.starts_with("m.gguf: ") && message.contains(want),
            "{name}: {message}"
        );
    }
}

/// A small file of both kinds of things.
fn good() -> (Metadata, Vec<u8>) {
    let mut metadata = Metadata::default();
    let values = [
        (
            "general.architecture",
            Value::String(b"llama".to_vec().into()),
        ),
        ("a.flag", Value::Bool(true)),
        ("a.float", Value::F32(1.5)),
        ("a.long", Value::I64(-7)),
        (
            "a.texts",
            Value::Array(Array::String(vec![b"x".to_vec().into(), vec![0xFF].into()])),
        ),
        ("a.ints", Value::Array(Array::I32(vec![1, -2]))),
    ];
    for (key, value) in values {
        assert!(metadata.insert(key.to_owned(), value));
    }
    let mut writer = GgufWriter::new(metadata.clone());
    writer
        .tensor("q", &[2, 32], BlockType::Q8_0, (0..68).collect())
        .unwrap();
    writer
        .tensor(
            "f",
            &[3],
            BlockType::F32,
            [1f32, 2.0, 3.0]
                .iter()
                .flat_map(|f| f.to_le_bytes())
                .collect(),
        )
        .unwrap();
    let mut bytes = Vec::new();
    writer.write(&mut bytes).unwrap();
    (metadata, bytes)
}

#[test]
fn what_is_written_is_read() {
    let (metadata, bytes) = good();
    let file = Gguf::from_bytes(Bytes::new(bytes), "good").unwrap();
    assert_eq!(*file.metadata(), metadata);
    assert_eq!(file.tensor("q").unwrap().shape, [2, 32]);
    assert_eq!(file.tensor("f").unwrap().to_f32(), [1.0, 2.0, 3.0]);
    assert!(file.tensor("g").is_none());
}

#[test]
fn every_truncation_is_refused() {
    let (_, bytes) = good();
    // The last tensor's padding may be missing.
    for len in 0..bytes.len() - 20 {
        refusal(bytes[..len].to_vec());
    }
}

#[test]
fn parts_of_a_split_are_joined_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let part = |no: u16, count: u16, total: i32, tensor: &str| {
        let mut metadata = Metadata::default();
        metadata.insert("split.no".into(), Value::U16(no));
        metadata.insert("split.count".into(), Value::U16(count));
        metadata.insert("split.tensors.count".into(), Value::I32(total));
        let mut writer = GgufWriter::new(metadata);
        writer
            .tensor(tensor, &[1], BlockType::F32, vec![0; 4])
            .unwrap();
        let path = dir
            .path()
            .join(format!("m-{:05}-of-{count:05}.gguf", no + 1));
        writer.write(std::fs::File::create(&path).unwrap()).unwrap();
        path
    };
    let first = part(0, 2, 2, "a");
    assert!(
        Gguf::open(&first)
            .unwrap_err()
            .to_string()
            .contains("m-00002-of-00002.gguf"),
        "the missing part is named"
    );
    let second = part(1, 2, 2, "b");
    assert_eq!(Gguf::open(&first).unwrap().tensors().len(), 2);
    assert!(
        Checkpoint::open(dir.path()).unwrap().tensor("b").is_some(),
        "a directory with one split model"
    );
    assert!(
        Gguf::open(&second)
            .unwrap_err()
            .to_string()
            .contains("open the first part")
    );
    part(1, 2, 2, "a");
    assert!(
        Gguf::open(&first)
            .unwrap_err()
            .to_string()
            .contains("in two parts")
    );
    part(1, 2, 2, "b");
    part(0, 2, 3, "a");
    assert!(
        Gguf::open(&first)
            .unwrap_err()
            .to_string()
            .contains("split.tensors.count is 3, the parts hold 2")
    );
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.resize(out.len() + data, 0);
    out
}

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
            "does not take 8 bytes",
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
fn an_index_may_not_leave_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), "{}").unwrap();
    for name in [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "x.bin",
        ".safetensors",
    ] {
        let index = serde_json::json!({"weight_map": {"t": name}});
        std::fs::write(
            dir.path().join("model.safetensors.index.json"),
            index.to_string(),
        )
        .unwrap();
        let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("no plain name"), "{name}: {message}");
    }
}

#[test]
fn mlx_codes_of_every_width_are_read() {
    // Codes count up and wrap; scale 2 and bias -1 are exact in F16.
    for bits in [2usize, 3, 4, 5, 6, 8] {
        let columns = 64;
        let code = |i: usize| i % (1 << bits);
        let mut stream = vec![0u8; columns * bits / 8];
        for i in 0..columns {
            for b in 0..bits {
                let at = i * bits + b;
                stream[at / 8] |= ((code(i) >> b & 1) as u8) << (at % 8);
            }
        }
        let words = columns * bits / 32;
        let header = serde_json::json!({
            "p.weight": {"dtype": "U32", "shape": [1, words], "data_offsets": [0, stream.len()]},
            "p.scales": {"dtype": "F16", "shape": [1, 2], "data_offsets": [stream.len(), stream.len() + 4]},
            "p.biases": {"dtype": "F16", "shape": [1, 2], "data_offsets": [stream.len() + 4, stream.len() + 8]},
        });
        let mut file = safetensors(&header.to_string(), 0);
        file.extend(&stream);
        for half in [2.0, 2.0, -1.0, -1.0] {
            file.extend(half::f16::from_f32(half).to_le_bytes());
        }
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::json!({"quantization": {"group_size": 32, "bits": bits}});
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let tensor = checkpoint.tensor("p.weight").unwrap();
        assert_eq!(tensor.shape, [1, columns]);
        let want: Vec<f32> = (0..columns).map(|i| 2.0 * code(i) as f32 - 1.0).collect();
        assert_eq!(tensor.to_f32(), want, "{bits} bits");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Gguf::from_bytes(Bytes::new([b"GGUF\x03\0\0\0".as_slice(), &bytes].concat()), "m");
        let _ = SafeTensors::from_bytes(Bytes::new(bytes), "m");
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (_, mut bytes) = good();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(file) = Gguf::from_bytes(Bytes::new(bytes), "m") {
            file.tensors().iter().for_each(|t| drop(t.to_f32()));
        }
    }

    #[test]
    fn every_block_type_takes_every_byte(seed in prop::collection::vec(any::<u8>(), 292)) {
        for block in BlockType::all() {
            let mut out = vec![0.0; block.block_len()];
            block.dequantize(&seed[..block.block_bytes()], &mut out);
        }
    }
}
