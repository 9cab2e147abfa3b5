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
    gbnf, lark, schema,
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
    ///
    /// What is written fits, but for what [`Matcher::warnings`] names and for names of further properties that are
    /// written with escapes (`\u0061` beside a property `a`). Of what fits, some spellings are not written:
    ///
    /// - integers as `5.0` or `5e0`;
    /// - numbers with a bound or a step in scientific notation: each has a decimal form, and the engine cannot count the
    ///   digits before a point against an exponent. Unbounded numbers take exponents;
    /// - numbers nearer than 1e-12 to a whole number that an interval of less than 1 excludes, as 0 in (0, 0.5];
    /// - properties that an object does not list, where it says nothing of others and nothing is combined with it.
    ///
    /// A schema that no finite value fits, since it requires itself, is refused; a part of a schema that none fits is
    /// not begun. Annotations beside a `$ref` say nothing; constraints beside it hold as well, in recursive schemas too.
    /// Refused is only what combines a recursive schema with itself through the same property on both sides.
    Schema(Value),
    /// Text that matches a regular expression as a whole.
    Regex(String),
    /// Text of a GBNF grammar, llama.cpp's notation: the whole answer is its rule `root`.
    Gbnf(String),
    /// Text of a Lark grammar in llguidance's dialect, with `%json`, `%regex` and tokens as `<[id]>`. Schemas in it mean
    /// what [`Grammar::Schema`] does.
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

impl Prepared {
    fn lark(text: String, blame: fn(String) -> Error) -> Self {
        Self {
            grammar: TopLevelGrammar::from_lark(text),
            warnings: Vec::new(),
            blame: Box::new(blame),
        }
    }
}

pub(crate) fn matcher(vocabulary: &Vocabulary, grammar: &Grammar) -> Result<Matcher> {
    let (parser, warnings) = on_large_stack(|| {
        let prepared = prepare(vocabulary, grammar)?;
        let parser = vocabulary.factory().create_parser(prepared.grammar);
        let mut parser = parser.map_err(|error| (prepared.blame)(plain(error)))?;
        let mut warnings = prepared.warnings;
        warnings.extend(notices(&mut parser));
        Ok((parser, warnings))
    })??;
    Matcher::new(parser, vocabulary.clone(), warnings)
}

fn prepare(vocabulary: &Vocabulary, grammar: &Grammar) -> Result<Prepared> {
    match grammar {
        Grammar::Json => from_schema(&json!({"type": "object"})),
        Grammar::AnyJson => from_schema(&json!(true)),
        Grammar::Schema(schema) => from_schema(schema),
        Grammar::Regex(pattern) => from_regex(pattern),
        Grammar::Gbnf(text) => {
            let lark = gbnf::to_lark(text, vocabulary.tokenizer())?;
            Ok(Prepared::lark(lark, |reason| Error::Gbnf {
                line: 1,
                column: 1,
                reason,
            }))
        }
        Grammar::Lark(text) => from_lark(text),
    }
}

fn from_regex(pattern: &str) -> Result<Prepared> {
    short(pattern)?;
    let blame = |reason| Error::Regex { reason };
    small(pattern).map_err(blame)?;
    let pattern = whole(pattern);
    if pattern.is_empty() {
        return Ok(Prepared::lark("start: \"\"".to_owned(), blame));
    }
    Ok(Prepared {
        grammar: TopLevelGrammar::from_regex(pattern),
        warnings: Vec::new(),
        blame: Box::new(blame),
    })
}

fn from_lark(text: &str) -> Result<Prepared> {
    short(text)?;
    let mut warnings = Vec::new();
    let text = lark::with_schemas(text, |schema| {
        let normalised = normalised(schema)?;
        warnings.extend(normalised.warnings);
        Ok(normalised.schema)
    })?;
    let blame = |reason| Error::Lark { reason };
    Ok(Prepared {
        warnings,
        ..Prepared::lark(text, blame)
    })
}

/// A schema in the engine's form, within all limits.
fn normalised(schema: &Value) -> Result<schema::Normalised> {
    let normalised = schema::normalise(schema)?;
    // The size of the schema is bounded by now, and so is its depth.
    match large_pattern(&normalised.schema) {
        None => Ok(normalised),
        Some(reason) => {
            let path = "#".to_owned();
            Err(Error::Schema { path, reason })
        }
    }
}

fn from_schema(schema: &Value) -> Result<Prepared> {
    let schema::Normalised {
        schema,
        warnings,
        paths,
    } = normalised(schema)?;
    let blame = move |reason: String| schema::blame(&reason, &paths);
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
