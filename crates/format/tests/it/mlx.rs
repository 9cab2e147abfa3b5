//! Directories that MLX quantised: every width and mode, and what does not belong together.

use half::f16;
use hearth_format::{BlockType, Checkpoint, Error, Storage, Tensor};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::draft::safetensors;

/// One tensor: name, type, shape, bytes.
type Part = (&'static str, &'static str, Vec<usize>, Vec<u8>);

fn open(quantization: &Json, parts: &[Part]) -> Result<Checkpoint, Error> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, dtype, shape, bytes) in parts {
        let at = [data.len(), data.len() + bytes.len()];
        let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": at});
        header.insert((*name).to_owned(), entry);
        data.extend(bytes);
    }
    let mut file = safetensors(&Json::Object(header).to_string(), 0);
    file.extend(data);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), quantization.to_string()).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
    Checkpoint::open(dir.path())
}

fn halves(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|v| f16::from_f32(*v).to_le_bytes())
        .collect()
}

/// A little-endian bit stream of codes.
fn pack(bits: usize, codes: &[usize]) -> Vec<u8> {
    let mut stream = vec![0u8; codes.len() * bits / 8];
    for (i, code) in codes.iter().enumerate() {
        for bit in (0..bits).filter(|bit| code >> bit & 1 == 1) {
            stream[(i * bits + bit) / 8] |= 1 << ((i * bits + bit) % 8);
        }
    }
    stream
}

fn affine_parts(bits: usize, shape: &[usize], group: usize) -> Vec<Part> {
    let values: usize = shape.iter().product();
    let resized = |columns: usize| {
        let mut shape = shape.to_vec();
        *shape.last_mut().unwrap() = columns;
        shape
    };
    let columns = *shape.last().unwrap();
    let codes: Vec<usize> = (0..values).map(|i| i * 7 % (1 << bits)).collect();
    let groups = values / group;
    let scales: Vec<f32> = (0..groups).map(|g| 1.0 + g as f32).collect();
    let biases: Vec<f32> = (0..groups).map(|g| -(g as f32)).collect();
    vec![
        (
            "p.weight",
            "U32",
            resized(columns * bits / 32),
            pack(bits, &codes),
        ),
        ("p.scales", "F16", resized(columns / group), halves(&scales)),
        ("p.biases", "F16", resized(columns / group), halves(&biases)),
    ]
}

#[test]
fn codes_of_every_width_are_read() {
    for bits in [2, 3, 4, 5, 6, 8] {
        for (shape, group) in [
            (vec![3, 64], 32),
            (vec![2, 128], 64),
            (vec![2, 3, 128], 128),
        ] {
            let config =
                json!({"quantization": {"group_size": group, "bits": bits, "mode": "affine"}});
            let checkpoint = open(&config, &affine_parts(bits, &shape, group)).unwrap();
            let tensor = checkpoint.tensor("p.weight").unwrap();
            assert_eq!(tensor.shape, shape);
            let value = |i: usize| {
                let (code, group) = (i * 7 % (1 << bits), i / group);
                (1.0 + group as f32) * code as f32 - group as f32
            };
            let want: Vec<f32> = (0..tensor.rows() * tensor.columns()).map(value).collect();
            assert_eq!(tensor.to_f32(), want, "{bits} bits {shape:?}");
            assert!(checkpoint.tensor("p.scales").is_none());
        }
    }
}

/// The values that MLX itself was seen to write for 0, 1, .., 15, 0, 1, ..
#[test]
fn the_worked_example_is_read() {
    let words = [0x89ab_cdefu32, 0x0123_4567].repeat(4);
    let parts = [
        (
            "p.weight",
            "U32",
            vec![1, 8],
            words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        ),
        ("p.scales", "F16", vec![1, 1], halves(&[-1.0])),
        ("p.biases", "F16", vec![1, 1], halves(&[15.0])),
    ];
    // Both places and names of the settings.
    let settings = json!({"group_size": 64, "bits": 4});
    for config in [
        json!({"quantization": settings, "quantization_config": settings}),
        json!({"quantization_config": settings}),
        json!({"text_config": {"quantization": settings}}),
        json!({"quantization": {"bits": 8, "group_size": 32, "p": {"bits": 4}}}),
    ] {
        let checkpoint = open(&config, &parts).unwrap();
        let want: Vec<f32> = (0..64).map(|i| (i % 16) as f32).collect();
        assert_eq!(
            checkpoint.tensor("p.weight").unwrap().to_f32(),
            want,
            "{config}"
        );
    }
}

const E2M1: [f32; 16] = [
    0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0,
];

fn block_of(tensor: &Tensor) -> BlockType {
    match &tensor.storage {
        Storage::Blocks { block, .. } => *block,
        Storage::Affine(_) => panic!("blocks are expected"),
    }
}

#[test]
fn four_bit_floats_become_blocks() {
    let codes: Vec<usize> = (0..256)
        .map(|i| i * 5 % 16 + i / 100 % 2)
        .map(|c| c % 16)
        .collect();
    // Scales: 2^(byte - 127), and E4M3 bytes of 1, 1.125, 1.25, ..
    let cases = [
        (
            "mxfp4",
            32,
            (0..8).map(|g| 120 + g).collect::<Vec<u8>>(),
            BlockType::Mxfp4,
        ),
        (
            "nvfp4",
            16,
            (0..16).map(|g| 0x38 + g).collect(),
            BlockType::Nvfp4,
        ),
    ];
    for (mode, group, scales, block) in cases {
        let scale = |byte: u8| match mode {
            "mxfp4" => 2f32.powi(i32::from(byte) - 127),
            _ => (1.0 + f32::from(byte & 7) / 8.0) * 2f32.powi(i32::from(byte >> 3) - 7),
        };
        let want: Vec<f32> = (0..256)
            .map(|i| scale(scales[i / group]) * E2M1[codes[i]])
            .collect();
        let parts = [
            ("p.weight", "U32", vec![2, 16], pack(4, &codes)),
            ("p.scales", "U8", vec![2, 128 / group], scales.clone()),
        ];
        let checkpoint = open(&json!({"quantization": {"mode": mode}}), &parts).unwrap();
        let tensor = checkpoint.tensor("p.weight").unwrap();
        assert_eq!((block_of(tensor), &tensor.shape), (block, &vec![2, 128]));
        assert_eq!(tensor.to_f32(), want, "{mode}");
    }
}

#[test]
fn what_does_not_belong_together_is_named() {
    let good = || affine_parts(4, &[2, 64], 64);
    let without = |name: &str| {
        good()
            .into_iter()
            .filter(|p| p.0 != name)
            .collect::<Vec<_>>()
    };
    let with = |part: Part| {
        let mut parts = without(part.0);
        parts.push(part);
        parts
    };
    let four = json!({"quantization": {"group_size": 64, "bits": 4}});
    let set = |settings: Json| json!({ "quantization": settings });
    let cases = [
        (
            "no biases",
            four.clone(),
            without("p.biases"),
            "'biases' is missing",
        ),
        (
            "no weight",
            four.clone(),
            without("p.weight"),
            "'weight' is missing",
        ),
        (
            "own entry, no scales",
            set(json!({"p": {"bits": 4}})),
            without("p.scales"),
            "'scales' is missing",
        ),
        (
            "other width",
            set(json!({"bits": 8, "group_size": 64})),
            good(),
            "do not belong together",
        ),
        (
            "other group",
            set(json!({"bits": 4, "group_size": 32})),
            good(),
            "do not belong together",
        ),
        (
            "7 bits",
            set(json!({"bits": 7})),
            good(),
            "7 bits in groups of 64",
        ),
        (
            "group 0",
            set(json!({"group_size": 0})),
            good(),
            "4 bits in groups of 0",
        ),
        (
            "huge",
            set(json!({"bits": u64::MAX})),
            good(),
            "expected 2 to 6 or 8 bits",
        ),
        (
            "mxfp8",
            set(json!({"mode": "mxfp8"})),
            good(),
            "mode 'mxfp8' is not read yet",
        ),
        (
            "mxfp4 of F16",
            set(json!({"mode": "mxfp4"})),
            good(),
            "'scales' is not U8",
        ),
        (
            "codes not U32",
            four.clone(),
            with(("p.weight", "F32", vec![2, 8], vec![0; 64])),
            "'weight' is not U32",
        ),
        (
            "other rows",
            four.clone(),
            with(("p.weight", "U32", vec![16], vec![0; 64])),
            "do not belong together",
        ),
        (
            "types differ",
            four.clone(),
            with(("p.biases", "BF16", vec![2, 1], vec![0; 4])),
            "scales are F16 and biases BF16",
        ),
        (
            "shapes differ",
            four.clone(),
            with(("p.biases", "F16", vec![1, 2], vec![0; 4])),
            "expected the same",
        ),
        (
            "overflow",
            four,
            vec![
                ("p.weight", "U32", vec![0, 8], vec![]),
                ("p.scales", "F16", vec![0, 1 << 60], vec![]),
                ("p.biases", "F16", vec![0, 1 << 60], vec![]),
            ],
            "do not belong together",
        ),
    ];
    for (name, config, parts, want) in cases {
        let message = open(&config, &parts).expect_err(name).to_string();
        assert!(
            message.contains("module 'p'") && message.contains(want),
            "{name}: {message}"
        );
    }
    let nan = [
        ("p.weight", "U32", vec![1, 4], vec![0; 16]),
        ("p.scales", "U8", vec![1, 1], vec![255]),
    ];
    let message = open(&set(json!({"mode": "mxfp4"})), &nan)
        .unwrap_err()
        .to_string();
    assert!(message.contains("a scale is NaN"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_shapes_make_the_reader_panic(
        shapes in prop::collection::vec(prop::collection::vec(prop_oneof![0usize..5, Just(1 << 58)], 0..4), 3),
        bits in 0u64..10,
        group in prop::sample::select(vec![0u64, 16, 32, 64, 128]),
        mode in prop::sample::select(vec!["affine", "mxfp4", "nvfp4"]),
    ) {
        let width = if mode == "affine" { 2 } else { 1 };
        let bytes = |shape: &[usize], width: usize| {
            let n = shape.iter().fold(width, |n, s| n.saturating_mul(*s));
            vec![1; if n > 4096 { 0 } else { n }]
        };
        let scale = if mode == "affine" { "F16" } else { "U8" };
        let parts = [
            ("p.weight", "U32", shapes[0].clone(), bytes(&shapes[0], 4)),
            ("p.scales", scale, shapes[1].clone(), bytes(&shapes[1], width)),
            ("p.biases", scale, shapes[2].clone(), bytes(&shapes[2], width)),
        ];
        let config = json!({"quantization": {"bits": bits, "group_size": group, "mode": mode}});
        if let Ok(checkpoint) = open(&config, &parts) {
            checkpoint.tensors().for_each(|t| drop(t.to_f32()));
        }
    }
}
