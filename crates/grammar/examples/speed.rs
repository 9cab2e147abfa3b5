//! How long masks take, on one core: `speed VOCABULARY.gguf [DOCUMENT.json]`.
//!
//! Builds the vocabulary, compiles grammars and replays a tokenised document, asking for the mask before each token.

use std::{
    env, fs,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use hearth_format::Gguf;
use hearth_grammar::{Grammar, Vocabulary};
use hearth_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Value, json};

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};

const GBNF: &str = r#"
root   ::= value
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (vocabulary, document) = match &arguments[..] {
        [vocabulary] => (vocabulary, None),
        [vocabulary, document] => (vocabulary, Some(document)),
        _ => {
            eprintln!("usage: speed VOCABULARY.gguf [DOCUMENT.json]");
            return ExitCode::FAILURE;
        }
    };
    match run(vocabulary, document.map(String::as_str)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &str, document: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let gguf = Gguf::open(Path::new(path))?;
    let tokenizer = Arc::new(Tokenizer::from_gguf(gguf.metadata())?);
    let start = Instant::now();
    let rows = tokenizer.vocab_len();
    let vocabulary = Vocabulary::new(tokenizer.clone(), rows)?;
    println!("{path}: {rows} tokens prepared in {:.0?}", start.elapsed());
    let text = match document {
        Some(path) => serde_json::from_str::<Value>(&fs::read_to_string(path)?)?.to_string(),
        None => answer().to_string(),
    };
    let ids = tokenizer.encode(&text, PLAIN);
    let mut grammars = vec![
        ("any JSON", Grammar::AnyJson),
        ("GBNF of JSON", Grammar::Gbnf(GBNF.to_owned())),
        ("regex", Grammar::Regex("(?s:.)*".to_owned())),
    ];
    if document.is_none() {
        grammars.push(("schema", Grammar::Schema(schema())));
    }
    for (name, grammar) in grammars {
        measure(&vocabulary, name, &grammar, &ids)?;
    }
    Ok(())
}

fn measure(
    vocabulary: &Vocabulary,
    name: &str,
    grammar: &Grammar,
    ids: &[u32],
) -> hearth_grammar::Result<()> {
    let start = Instant::now();
    let first = vocabulary.matcher(grammar)?;
    println!("{name}: compiled in {:.1?}", start.elapsed());
    let mut logits = vec![0.0; vocabulary.rows()];
    // The second text finds what the first has learnt about the grammar.
    for text in ["first text", "second text"] {
        let mut matcher = first.fork();
        let (mut masks, mut accepts, mut applies) = (Vec::new(), Vec::new(), Vec::new());
        for &id in ids {
            let (mask, time) = timed(|| matcher.mask());
            masks.push(time);
            let mask = mask?;
            applies.push(timed(|| mask.apply(&mut logits)).1);
            let (accepted, time) = timed(|| matcher.accept(id));
            accepted?;
            accepts.push(time);
        }
        print!("  {text}, {} tokens:", ids.len());
        for (what, times) in [("mask", &masks), ("apply", &applies), ("accept", &accepts)] {
            let mean = times.iter().sum::<Duration>() / times.len().max(1) as u32;
            let worst = times.iter().max().copied().unwrap_or_default();
            print!("  {what} {mean:.1?} (worst {worst:.1?})");
        }
        println!();
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Orders as a shop's assistant would answer with.
fn schema() -> Value {
    json!({
        "$defs": {
            "Item": {
                "type": "object",
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
                    "title": {"type": "string", "maxLength": 80},
                    "amount": {"type": "integer", "minimum": 1, "maximum": 99},
                    "price": {"type": "number"},
                    "tags": {"type": "array", "items": {"enum": ["new", "sale", "fragile"]}},
                },
                "required": ["sku", "title", "amount", "price", "tags"],
                "additionalProperties": false,
            },
        },
        "type": "object",
        "properties": {
            "customer": {"type": "string"},
            "placed": {"type": "string", "format": "date-time"},
            "note": {"type": ["string", "null"]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
        },
        "required": ["customer", "placed", "note", "items"],
        "additionalProperties": false,
    })
}

fn answer() -> Value {
    let item = |n: u32| {
        json!({
            "sku": format!("AB-{:04}", n * 37),
            "title": format!("Porcelain bowl no. {n}, glazed in blue and white"),
            "amount": n + 1,
            "price": f64::from(n) * 12.5 + 0.95,
            "tags": ["new", "fragile"],
        })
    };
    json!({
        "customer": "Zoë Müller-Lüdenscheidt",
        "placed": "2024-05-17T09:30:00Z",
        "note": "Please ring twice; the dog is friendly but \"loud\".\nThank you!",
        "items": (0..12).map(item).collect::<Vec<_>>(),
    })
}
