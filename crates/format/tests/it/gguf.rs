//! GGUF files: what is written is read, parts are joined, nothing makes the reader panic.

use std::path::{Path, PathBuf};

use hearth_format::{Array, BlockType, Bytes, Checkpoint, Gguf, GgufWriter, Metadata, Text, Value};
use proptest::prelude::*;

/// The bytes of a file of these things; tensors are name, shape, type and bytes.
fn write(metadata: Metadata, tensors: &[(String, Vec<usize>, BlockType, Vec<u8>)]) -> Vec<u8> {
    let mut writer = GgufWriter::new(metadata).unwrap();
    for (name, shape, block, _) in tensors {
        writer.tensor(name, shape, *block).unwrap();
    }
    let mut body = writer.start(Vec::new()).unwrap();
    for (.., bytes) in tensors {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [first, second]
            .into_iter()
            .filter(|part| !part.is_empty())
            .for_each(|part| body.write(part).unwrap());
    }
    body.finish().unwrap()
}

/// The example of the format notes: every byte of it was worked out by hand.
#[test]
fn the_worked_example_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/worked.gguf");
    let file = Gguf::open(&path).unwrap();
    let metadata = file.metadata();
    assert_eq!(metadata.string("general.architecture"), Some("llama"));
    assert_eq!(metadata.integer("general.alignment"), Some(32));
    assert_eq!(metadata.integers("x.a"), Some(vec![7, -1]));
    let a = file.tensor("a.weight").unwrap();
    assert_eq!(a.shape, [2, 32]);
    let want: Vec<f32> = (0..64).map(|i| (i % 32) as f32 / 2.0).collect();
    assert_eq!(a.to_f32(), want);
    assert_eq!(file.tensor("b").unwrap().to_f32(), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn every_truncation_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/worked.gguf");
    let bytes = std::fs::read(path).unwrap();
    // The last tensor's 16 bytes of padding may be missing.
    for len in 0..bytes.len() {
        let result = Gguf::from_bytes(Bytes::new(bytes[..len].to_vec()), "m");
        assert_eq!(result.is_ok(), len >= bytes.len() - 16, "{len} bytes");
    }
}

#[test]
fn the_writer_refuses_what_no_reader_takes() {
    let with = |key: &str, value: Value| {
        let mut metadata = Metadata::default();
        metadata.insert(key.to_owned(), value);
        GgufWriter::new(metadata).map(drop)
    };
    for (name, result) in [
        ("empty key", with("", Value::U8(0))),
        ("NUL in key", with("a\0", Value::U8(0))),
        ("alignment 0", with("general.alignment", Value::U32(0))),
        ("alignment of U8", with("general.alignment", Value::U8(32))),
    ] {
        assert!(result.is_err(), "{name}");
    }
    let mut writer = GgufWriter::new(Metadata::default()).unwrap();
    writer.tensor("t", &[2], BlockType::F32).unwrap();
    for (name, shape) in [
        ("t", &[2][..]),
        ("", &[2]),
        ("a\0", &[2]),
        ("u", &[0]),
        ("u", &[1; 5]),
        ("u", &[1 << 32, 1 << 32]),
        (&"u".repeat(64), &[2]),
    ] {
        assert!(
            writer.tensor(name, shape, BlockType::F32).is_err(),
            "{name} {shape:?}"
        );
    }
    assert!(
        writer.tensor("u", &[33], BlockType::Q8_0).is_err(),
        "half a block"
    );
    let mut body = writer.start(Vec::new()).unwrap();
    assert!(body.write(&[0; 9]).is_err(), "more than the tensor");
    body.write(&[0; 7]).unwrap();
    assert!(body.finish().is_err(), "a byte is missing");
}

/// Part `no` (from 0) of `count` with one tensor; the parts claim to have `total`.
fn split_part(no: u16, count: u16, total: i32, tensor: &str) -> Vec<u8> {
    let mut metadata = Metadata::default();
    metadata.insert("split.no".into(), Value::U16(no));
    metadata.insert("split.count".into(), Value::U16(count));
    metadata.insert("split.tensors.count".into(), Value::I32(total));
    let tensor = (tensor.to_owned(), vec![1], BlockType::F32, vec![0; 4]);
    write(metadata, &[tensor])
}

#[test]
fn parts_of_a_split_are_joined_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let part = |no: u16, count: u16, total: i32, tensor: &str| -> PathBuf {
        let bytes = split_part(no, count, total, tensor);
        let path = dir.path().join(format!("m-{:05}-of-00002.gguf", no + 1));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let refused = |path: &Path, want: &str| {
        let message = Gguf::open(path).unwrap_err().to_string();
        assert!(message.contains(want), "{want}: {message}");
    };
    let first = part(0, 2, 2, "a");
    refused(&first, "m-00002-of-00002.gguf");
    let second = part(1, 2, 2, "b");
    assert_eq!(Gguf::open(&first).unwrap().tensors().len(), 2);
    std::fs::write(dir.path().join("mmproj-m.gguf"), "a projector is no model").unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert!(
        checkpoint.tensor("b").is_some(),
        "a directory with one split model"
    );
    refused(&second, "open the first part");
    part(1, 2, 2, "a");
    refused(&first, "tensor 'a' occurs twice");
    part(1, 3, 2, "b");
    refused(
        &first,
        "expected split.no 1 and split.count 2, found 1 and 3",
    );
    std::fs::copy(&first, &second).unwrap();
    refused(
        &first,
        "expected split.no 1 and split.count 2, found 0 and 2",
    );
    part(1, 2, 2, "b");
    part(0, 2, 3, "a");
    refused(&first, "split.tensors.count is 3, the parts hold 2");
    let renamed = dir.path().join("other.gguf");
    std::fs::rename(&first, &renamed).unwrap();
    refused(&renamed, "does not end in -00001-of-00002.gguf");
}

/// Parts called by digests: only their order and what is in them counts.
#[test]
fn parts_of_any_name_are_joined_and_checked() {
    let whole = || {
        let tensor = ("w".to_owned(), vec![1], BlockType::F32, vec![0; 4]);
        write(Metadata::default(), &[tensor])
    };
    let [first, second, third] =
        [("a", 0), ("b", 1), ("c", 2)].map(|(tensor, no)| split_part(no, 3, 3, tensor));
    let three = || vec![first.clone(), second.clone(), third.clone()];
    let with = |at: usize, part: Vec<u8>| {
        let mut parts = three();
        parts[at] = part;
        parts
    };
    type Case = (&'static str, Vec<Vec<u8>>, Result<usize, &'static str>);
    let cases: Vec<Case> = vec![
        ("split", three(), Ok(3)),
        ("whole", vec![whole()], Ok(1)),
        ("a split of one", vec![split_part(0, 1, 1, "a")], Ok(1)),
        ("none", vec![], Err("expected a GGUF file, found none")),
        (
            "one missing",
            three()[..2].to_vec(),
            Err("split into 3 parts, 2 given"),
        ),
        (
            "one too many",
            [three(), three()].concat(),
            Err("split into 3 parts, 6 given"),
        ),
        (
            "two whole ones",
            vec![whole(), whole()],
            Err("split into 1 parts, 2 given"),
        ),
        (
            "only a later part",
            vec![split_part(1, 1, 1, "a"), vec![]],
            Err("split into 1 parts"),
        ),
        (
            "wrong order",
            with(0, second.clone()),
            Err("this is part 2 of 3"),
        ),
        (
            "one twice",
            with(2, second.clone()),
            Err("expected split.no 2 and split.count 3, found 1 and 3"),
        ),
        (
            "a whole one inside",
            with(1, whole()),
            Err("found nothing and nothing"),
        ),
        (
            "same tensor",
            with(2, split_part(2, 3, 3, "a")),
            Err("tensor 'a' occurs twice"),
        ),
        (
            "a claim",
            with(0, split_part(0, 3, 4, "a")),
            Err("split.tensors.count is 4"),
        ),
        ("no GGUF", with(1, b"GGU".to_vec()), Err("model (")),
        ("nothing in it", with(2, vec![]), Err("model (")),
    ];
    for (name, parts, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..parts.len())
            .map(|i| dir.path().join(format!("sha256-{:02}", 99 - i)))
            .collect();
        for (path, bytes) in paths.iter().zip(&parts) {
            std::fs::write(path, bytes).unwrap();
        }
        match (Checkpoint::open_parts("model", &paths), want) {
            (Ok(found), Ok(count)) => {
                assert_eq!(
                    (found.tensors().count(), found.label()),
                    (count, "model"),
                    "{name}"
                );
            }
            (Err(error), Err(want)) => {
                let message = error.to_string();
                assert!(
                    message.starts_with("model") && message.contains(want),
                    "{name}: {message}"
                );
            }
            (found, _) => panic!("{name}: {:?}", found.map(|_| ())),
        }
    }
    let missing = Checkpoint::open_parts("model", &[PathBuf::from("/nonexistent/part")]);
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("/nonexistent/part")
    );
}

#[test]
fn a_peek_reads_what_comes_before_the_vocabulary() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let text = |text: &str| Value::String(text.as_bytes().into());
    let peek = |metadata: Metadata, bytes: Option<usize>| {
        let whole = write(metadata, &[]);
        std::fs::write(&path, &whole[..bytes.unwrap_or(whole.len())]).unwrap();
        Gguf::peek(&path)
    };
    let mut metadata = Metadata::default();
    metadata.insert("general.architecture".into(), text("llama"));
    metadata.insert("tokenizer.ggml.model".into(), text("gpt2"));
    metadata.insert("llama.block_count".into(), Value::U32(2));
    let found = peek(metadata, None).unwrap();
    assert_eq!(found.string("general.architecture"), Some("llama"));
    assert_eq!(
        found.integer("llama.block_count"),
        None,
        "after the vocabulary"
    );

    let mut metadata = Metadata::default();
    metadata.insert("general.type".into(), text("adapter"));
    metadata.insert("huge".into(), Value::Array(Array::U8(vec![0; 2 << 20])));
    let found = peek(metadata.clone(), None).unwrap();
    assert_eq!(found.string("general.type"), Some("adapter"));
    assert!(
        peek(metadata, Some(1000)).is_err(),
        "a file that is cut off"
    );
    for bytes in [
        &b""[..],
        b"GGU",
        b"version https://git-lfs.github.com/spec/v1",
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = Gguf::peek(&path).unwrap_err().to_string();
        assert!(message.contains("m.gguf: not a GGUF file"), "{message}");
    }
}

fn text() -> impl Strategy<Value = Text> {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(Vec::into_boxed_slice)
}

fn array() -> impl Strategy<Value = Array> {
    macro_rules! list {
        ($variant:ident, $element:expr) => {
            prop::collection::vec($element, 0..6).prop_map(Array::$variant)
        };
    }
    prop_oneof![
        list!(U8, any::<u8>()),
        list!(I8, any::<i8>()),
        list!(U16, any::<u16>()),
        list!(I16, any::<i16>()),
        list!(U32, any::<u32>()),
        list!(I32, any::<i32>()),
        list!(U64, any::<u64>()),
        list!(I64, any::<i64>()),
        list!(F32, prop::num::f32::NORMAL),
        list!(F64, prop::num::f64::NORMAL),
        list!(Bool, any::<bool>()),
        list!(String, text()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        prop::num::f32::NORMAL.prop_map(Value::F32),
        prop::num::f64::NORMAL.prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        text().prop_map(Value::String),
        array().prop_map(Value::Array),
    ]
}

/// Any metadata, with an alignment now and then.
fn metadata() -> impl Strategy<Value = Metadata> {
    let entries = prop::collection::vec(("[a-z.é]{1,8}", value()), 0..8);
    (entries, prop::option::of(0u32..8)).prop_map(|(entries, alignment)| {
        let mut metadata = Metadata::default();
        if let Some(exponent) = alignment {
            metadata.insert("general.alignment".to_owned(), Value::U32(1 << exponent));
        }
        for (key, value) in entries {
            metadata.insert(key, value);
        }
        metadata
    })
}

/// Any tensor: a type, rows of one to three blocks, and bytes that repeat a seed.
fn tensor() -> impl Strategy<Value = (Vec<usize>, BlockType, Vec<u8>)> {
    let block = prop::sample::select(BlockType::all().collect::<Vec<_>>());
    let rows = prop::collection::vec(1usize..4, 0..=3);
    (block, rows, 1usize..4, any::<u8>()).prop_map(|(block, mut shape, blocks, seed)| {
        let rows: usize = shape.iter().product();
        shape.push(blocks * block.block_len());
        let bytes = (0..rows * blocks * block.block_bytes()).map(|i| seed.wrapping_add(i as u8));
        (shape, block, bytes.collect())
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(metadata in metadata(), tensors in prop::collection::vec(tensor(), 0..5)) {
        let named: Vec<_> = tensors
            .into_iter()
            .enumerate()
            .map(|(i, (shape, block, bytes))| (format!("t{i}"), shape, block, bytes))
            .collect();
        let bytes = write(metadata.clone(), &named);
        let file = Gguf::from_bytes(Bytes::new(bytes), "m").unwrap();
        prop_assert_eq!(file.metadata(), &metadata);
        prop_assert_eq!(file.tensors().len(), named.len());
        for (name, shape, block, bytes) in named {
            let tensor = file.tensor(&name).unwrap();
            prop_assert_eq!(&tensor.shape, &shape);
            let hearth_format::Storage::Blocks { block: found, bytes: stored } = &tensor.storage else {
                panic!("GGUF has blocks only")
            };
            prop_assert_eq!(*found, block);
            prop_assert_eq!(&**stored, bytes);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Gguf::from_bytes(Bytes::new([b"GGUF\x03\0\0\0".as_slice(), &bytes].concat()), "m");
        let _ = Gguf::from_bytes(Bytes::new(bytes), "m");
    }

    #[test]
    fn no_change_of_a_good_file_makes_the_reader_panic(
        metadata in metadata(),
        tensors in prop::collection::vec(tensor(), 1..3),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let named: Vec<_> = tensors.into_iter().enumerate().map(|(i, (s, b, d))| (format!("t{i}"), s, b, d)).collect();
        let mut bytes = write(metadata, &named);
        for (at, byte) in changes {
            // Half of the changes hit the head, where the counts are.
            let at = if byte % 2 == 0 { at.index(bytes.len()) } else { at.index(bytes.len().min(128)) };
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
