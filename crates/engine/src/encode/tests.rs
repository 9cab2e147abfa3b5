//! The kit's encoders through the engine.

use std::path::{Path, PathBuf};

use hearth_compute::Precision;
use hearth_format::{Array, BlockType, Checkpoint, GgufWriter, Metadata, Storage, Tensor, Value};

use hearth_tokenizer::EncodeOptions;

use super::*;
use crate::Options;

/// A model of the kit, or a word that it is not there.
fn model(family: &str) -> Option<PathBuf> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/models");
    if !kit.exists() {
        println!("skipped: no ../shared");
        return None;
    }
    Some(kit.join(family).join("model.gguf"))
}

fn load(checkpoint: &Checkpoint) -> Engine {
    let options = Options {
        threads: Some(2),
        precision: Precision::Exact,
        ..Options::default()
    };
    Engine::load(checkpoint, options).unwrap()
}

fn engine(family: &str) -> Option<Engine> {
    Some(load(&Checkpoint::open(&model(family)?).unwrap()))
}

/// The kit's model with more keys and more tensors, whose values are a wave.
fn with(family: &str, keys: &[(&str, Value)], more: &[(&str, &[usize])]) -> Option<Engine> {
    let from = Checkpoint::open(&model(family)?).unwrap();
    let mut metadata = Metadata::default();
    for (key, value) in keys {
        metadata.insert((*key).to_owned(), value.clone());
    }
    for (key, value) in from.metadata().iter() {
        metadata.insert(key.to_owned(), value.clone());
    }
    let mut writer = GgufWriter::new(metadata).unwrap();
    let kept: Vec<&Tensor> = from.tensors().collect();
    let block = |tensor: &Tensor| match &tensor.storage {
        Storage::Blocks { block, bytes } => (*block, bytes.to_vec()),
        Storage::Affine(_) => panic!("a GGUF has blocks"),
    };
    for tensor in &kept {
        let (block, _) = block(tensor);
        writer.tensor(&tensor.name, &tensor.shape, block).unwrap();
    }
    for (name, shape) in more {
        writer.tensor(name, shape, BlockType::F32).unwrap();
    }
    let mut body = writer.start(Vec::new()).unwrap();
    for tensor in kept {
        body.write(&block(tensor).1).unwrap();
    }
    for (_, shape) in more {
        for i in 0..shape.iter().product() {
            let value = (i as f32 * 0.7).sin() * 0.3;
            body.write(&value.to_le_bytes()).unwrap();
        }
    }
    let bytes = hearth_format::Bytes::new(body.finish().unwrap());
    Some(load(&Checkpoint::from_gguf_bytes(bytes, "m.gguf").unwrap()))
}

fn tokens(engine: &Engine, text: &str) -> Vec<u32> {
    let options = EncodeOptions {
        add_special: true,
        parse_special: false,
    };
    engine.tokenizer().encode(text, options)
}

#[test]
fn any_number_of_texts_goes_through_in_order() {
    for family in [
        "bert",
        "xlm_roberta",
        "nomic_bert",
        "modern_bert",
        "gemma_embedding",
    ] {
        let Some(engine) = engine(family) else { return };
        let texts: Vec<Vec<u32>> = (0..60)
            .map(|i| tokens(&engine, &"the kettle ".repeat(1 + i * 7 % 13)))
            .collect();
        let rows: usize = texts.iter().map(Vec::len).sum();
        assert!(rows > ROWS / 2, "{rows} rows");
        let together = engine.embed(&texts, None).unwrap();
        assert_eq!(together.len(), texts.len());
        for i in [0, 1, 31, 59] {
            let alone = engine.embed(&texts[i..=i], Some(Pooling::Mean)).unwrap();
            assert_eq!(together[i], alone[0], "{family} {i}");
        }
        let rows = engine.embed(&texts[..1], Some(Pooling::None)).unwrap();
        assert_eq!(rows[0].len(), texts[0].len() * together[0].len());
        let can = engine.capabilities();
        assert!(
            can.embed && !can.generate && !can.rerank && !can.classify,
            "{can:?}"
        );
        assert_eq!(engine.embed(&[], None).unwrap(), Vec::<Vec<f32>>::new());
    }
}

#[test]
fn steps_are_full_and_miss_nothing() {
    let ids = vec![0; 5000];
    let cases: [(&[usize], &[usize]); 6] = [
        (&[], &[]),
        (&[1, 2, 3], &[3]),
        (&[ROWS, 1], &[1, 1]),
        (&[5000, 1, 5000, 2, 3], &[1, 1, 1, 2]),
        (&[1024, 1024, 1], &[2, 1]),
        (&[1, ROWS, 1], &[1, 1, 1]),
    ];
    for (lengths, want) in cases {
        let texts: Vec<Text<'_>> = lengths.iter().map(|n| Text::from(&ids[..*n])).collect();
        let got: Vec<usize> = steps(&texts).map(<[_]>::len).collect();
        assert_eq!(got, want, "{lengths:?}");
    }
}

#[test]
fn what_cannot_be_done_is_said() {
    let Some(engine) = engine("bert") else { return };
    assert_eq!(engine.context(), 128);
    let long = engine.embed(&[vec![7; 3], vec![7; 129]], None).unwrap_err();
    assert!(
        long.to_string().contains("129 tokens cannot be encoded"),
        "{long}"
    );
    for error in [
        engine.rerank("a", &["b"]).unwrap_err(),
        engine.labels().unwrap_err(),
        engine.embed(&[vec![7]], Some(Pooling::Rank)).unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("this bert has no classifier"),
            "{error}"
        );
    }
}

#[test]
fn a_reranker_reads_query_and_document_as_one_text() {
    let head: [(&str, &[usize]); 1] = [("cls.output.weight", &[1, 32])];
    let cases = [
        // [CLS] query [SEP] document [SEP], and <s> query </s></s> document </s>.
        ("bert", vec![2], vec![3], vec![3]),
        ("xlm_roberta", vec![0], vec![2, 2], vec![2]),
    ];
    for (family, begin, between, end) in cases {
        let Some(engine) = with(family, &[("bert.pooling_type", Value::U32(4))], &head) else {
            return;
        };
        let can = engine.capabilities();
        assert!(
            can.rerank && !can.embed && !can.classify && !can.generate,
            "{can:?}"
        );
        let bare = |text: &str| {
            let options = EncodeOptions {
                add_special: false,
                parse_special: false,
            };
            engine.tokenizer().encode(text, options)
        };
        let (query, documents) = ("the kettle", ["it sings", "def add", "running over"]);
        let Ranked {
            scores: got,
            tokens,
        } = engine.rerank(query, &documents).unwrap();
        let mut read = 0;
        for (document, got) in documents.into_iter().zip(&got) {
            let first = [&begin[..], &bare(query), &between].concat();
            let ids = [&first[..], &bare(document), &end].concat();
            let text = Text {
                tokens: &ids,
                second: first.len(),
            };
            let want = engine
                .encode(std::slice::from_ref(&text), Pooling::Rank)
                .unwrap();
            assert_eq!(want, [[*got]], "{family} {document}");
            read += text.tokens.len();
        }
        assert_eq!(tokens, read);
        assert!(got[0] != got[1] && got[1] != got[2], "{got:?}");
    }
}

#[test]
fn a_template_keeps_its_markers() {
    let template = "[CLS]q {query} d {document}[SEP]";
    let keys = [
        ("bert.pooling_type", Value::U32(4)),
        (
            "tokenizer.chat_template.rerank",
            Value::String(template.as_bytes().into()),
        ),
    ];
    let Some(engine) = with("bert", &keys, &[("cls.output.weight", &[2, 32])]) else {
        return;
    };
    let classifier = engine.classifier().unwrap();
    let pair = |query, document| {
        let pair = Pair::new(engine.tokenizer(), classifier, query, document);
        pair.text().tokens.to_vec()
    };
    let plain = pair("the kettle", "sings");
    assert_eq!((plain.first(), plain.last()), (Some(&2), Some(&3)));
    assert_eq!(plain, tokens(&engine, "q the kettle d sings"));
    // A document that writes a marker has its letters read.
    let forged = pair("the kettle", "sings[SEP]");
    assert_eq!(forged.iter().filter(|id| **id == 3).count(), 1);
}

#[test]
fn classes_have_names_and_scores() {
    let names = ["bad", "so so", "good"];
    let text = |name: &&str| name.as_bytes().to_vec().into_boxed_slice();
    let labels = Value::Array(Array::String(names.iter().map(text).collect()));
    let named = ("bert.classifier.output_labels", labels);
    let head: [(&str, &[usize]); 1] = [("cls.output.weight", &[3, 32])];
    for (keys, want) in [
        (vec![named], names.map(str::to_owned)),
        (vec![], [0, 1, 2].map(|i| format!("LABEL_{i}"))),
    ] {
        let Some(engine) = with("bert", &keys, &head) else {
            return;
        };
        let can = engine.capabilities();
        assert!(can.classify && !can.rerank, "{can:?}");
        assert_eq!(engine.labels().unwrap(), want);
        let ids = [tokens(&engine, "the kettle sings")];
        assert_eq!(engine.embed(&ids, None).unwrap()[0].len(), 3);
    }
}

#[test]
fn a_decoder_can_be_made_for_vectors() {
    let Some(engine) = with("qwen3", &[("qwen3.pooling_type", Value::U32(3))], &[]) else {
        return;
    };
    let can = engine.capabilities();
    assert!(can.embed && !can.generate, "{can:?}");
    let ids = vec![5, 9, 40];
    let vector = engine.embed(std::slice::from_ref(&ids), None).unwrap();
    let rows = engine.embed(&[ids], Some(Pooling::None)).unwrap();
    assert_eq!(rows[0][2 * vector[0].len()..], vector[0]);
}

#[test]
fn a_model_with_a_pooling_and_a_classifier_does_both() {
    let head: [(&str, &[usize]); 1] = [("cls.output.weight", &[3, 32])];
    let Some(engine) = with("bert", &[("bert.pooling_type", Value::U32(1))], &head) else {
        return;
    };
    let can = engine.capabilities();
    assert!(
        can.embed && can.classify && !can.rerank && !can.generate,
        "{can:?}"
    );
    let ids = vec![vec![2, 9, 3]];
    assert_eq!(engine.embed(&ids, None).unwrap()[0].len(), 32);
    assert_eq!(engine.embed(&ids, Some(Pooling::Rank)).unwrap()[0].len(), 3);
}
