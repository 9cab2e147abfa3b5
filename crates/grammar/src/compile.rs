//! From a grammar as written to a matcher.

use std::thread;

use llguidance::{
    TokenParser,
    api::{ParserLimits, TopLevelGrammar},
};
use serde_json::{Value, json};

use crate::{
    Error, Matcher, Result, Vocabulary,
    error::plain,
    schema,
    weight::{MOST, weight},
};

/// What an answer must look like.
///
/// JSON is written with at most one blank after `:` and `,` and none elsewhere, so that a small model cannot put blanks
/// for ever; properties come in the order of the schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    /// Any JSON object.
    Json,
    /// Any JSON value.
    AnyJson,
    /// JSON that fits a JSON Schema (draft 2020-12 and what older drafts and OpenAPI share with it).
    Schema(Value),
    /// Text that matches a regular expression as a whole.
    Regex(String),
    /// Text of a Lark grammar in llguidance's dialect, with `%json`, `%regex` and tokens as `<[id]>`.
    Lark(String),
}

/// Refuses a regular expression that would take long to compile, or that ends within an escape.
fn small(pattern: &str) -> Result<(), String> {
    match weight(pattern) {
        None => Err("the pattern ends in the middle of an escape".to_owned()),
        Some(parts) if parts > MOST => Err(format!(
            "with its repetitions written out the pattern has {parts} parts, but at most {MOST} are accepted"
        )),
        Some(_) => Ok(()),
    }
}

/// The first pattern in a schema that is too large, with the reason.
fn large_pattern(schema: &Value) -> Option<String> {
    match schema {
        Value::Array(items) => items.iter().find_map(large_pattern),
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let own = match (key.as_str(), value) {
                ("pattern", Value::String(text)) => small(text).err(),
                ("patternProperties", Value::Object(all)) => {
                    all.keys().find_map(|key| small(key).err())
                }
                _ => None,
            };
            own.or_else(|| large_pattern(value))
        }),
        _ => None,
    }
}

/// Regular expressions and Lark grammars may be this long, in bytes.
const LONGEST_TEXT: usize = 256 << 10;

/// Rules that use each other in a chain of thousands recurse as deep. The pages are only used if touched.
const STACK_BYTES: usize = 256 << 20;

/// What compiling and one step may take.
pub(crate) fn limits() -> ParserLimits {
    ParserLimits {
        step_lexer_fuel: 500_000,
        step_max_items: 250_000,
        max_lexer_states: 50_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// A grammar in the engine's form, and how to tell where it is wrong.
struct Prepared {
    grammar: TopLevelGrammar,
    warnings: Vec<String>,
    blame: Box<dyn FnOnce(String) -> Error>,
}

pub(crate) fn matcher(vocabulary: &Vocabulary, grammar: &Grammar) -> Result<Matcher> {
    let Prepared {
        grammar,
        mut warnings,
        blame,
    } = prepare(grammar)?;
    let mut parser = on_large_stack(|| vocabulary.factory().create_parser(grammar))?
        .map_err(|error| blame(plain(error)))?;
    warnings.extend(notices(&mut parser));
    Matcher::new(parser, vocabulary.clone(), warnings)
}

fn prepare(grammar: &Grammar) -> Result<Prepared> {
    match grammar {
        Grammar::Json => from_schema(&json!({"type": "object"})),
        Grammar::AnyJson => from_schema(&json!(true)),
        Grammar::Schema(schema) => from_schema(schema),
        Grammar::Regex(pattern) => {
            short(pattern)?;
            small(pattern).map_err(|reason| Error::Regex { reason })?;
            let pattern = whole(pattern);
            let grammar = if pattern.is_empty() {
                TopLevelGrammar::from_lark("start: \"\"".to_owned())
            } else {
                TopLevelGrammar::from_regex(pattern)
            };
            Ok(Prepared {
                grammar,
                warnings: Vec::new(),
                blame: Box::new(|reason| Error::Regex { reason }),
            })
        }
        Grammar::Lark(text) => {
            short(text)?;
            Ok(Prepared {
                grammar: TopLevelGrammar::from_lark(text.clone()),
                warnings: Vec::new(),
                blame: Box::new(|reason| Error::Lark { reason }),
            })
        }
    }
}

fn from_schema(schema: &Value) -> Result<Prepared> {
    let schema::Normalised {
        schema,
        warnings,
        paths,
    } = schema::normalise(schema)?;
    // The size of the schema is bounded by now, and so is its depth.
    if let Some(reason) = large_pattern(&schema) {
        let path = "#".to_owned();
        return Err(Error::Schema { path, reason });
    }
    // The engine speaks of definitions by the numbers that they got.
    let blame = move |mut reason: String| {
        for (number, path) in paths.iter().enumerate().rev() {
            let name = format!("#/$defs/{number}");
            if reason.contains(&name) {
                reason = reason.replace(&name, path);
            }
        }
        let path = "#".to_owned();
        Error::Schema { path, reason }
    };
    Ok(Prepared {
        grammar: TopLevelGrammar::from_json_schema(schema),
        warnings,
        blame: Box::new(blame),
    })
}

fn short(text: &str) -> Result<()> {
    if text.len() <= LONGEST_TEXT {
        return Ok(());
    }
    Err(Error::TooLarge {
        what: "bytes of grammar",
        found: text.len(),
        limit: LONGEST_TEXT,
    })
}

/// The pattern without the anchors that matching the whole answer implies, which the engine does not know.
fn whole(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    match pattern.strip_suffix('$') {
        Some(body) => {
            let backslashes = body.len() - body.trim_end_matches('\\').len();
            if backslashes.is_multiple_of(2) {
                body
            } else {
                pattern
            }
        }
        None => pattern,
    }
}

/// Compiling recurses along the grammar, so it gets a stack of its own.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let failed = |reason: String| Error::Thread { reason };
    thread::scope(|scope| {
        let builder = thread::Builder::new()
            .name("grammar".to_owned())
            .stack_size(STACK_BYTES);
        let handle = builder
            .spawn_scoped(scope, work)
            .map_err(|error| failed(error.to_string()))?;
        handle
            .join()
            .map_err(|_| failed("it stopped early".to_owned()))
    })
}

/// What the engine itself left out.
fn notices(parser: &mut TokenParser) -> Vec<String> {
    let warnings = parser.grammar_warnings().into_iter();
    warnings
        .map(|warning| format!("ignored: {warning}"))
        .collect()
}
