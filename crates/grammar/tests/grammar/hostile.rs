//! Grammars that want to take for ever: each ends in a matcher or an error.

use std::time::Instant;

use hearth_grammar::{Grammar, Vocabulary};
use serde_json::{Map, Value, json};

use crate::support::{bytes, tokenizer};

fn object(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(entries.collect::<Map<_, _>>())
}

fn schemas() -> Vec<(&'static str, Value)> {
    let pairs = |n: usize| -> Vec<Value> {
        let pair = |n| json!({"anyOf": [{"properties": {format!("a{n}"): {"const": 1}}}, {"properties": {format!("b{n}"): {"const": 2}}}]});
        (0..n).map(pair).collect()
    };
    let chain = |n: usize| {
        object((0..n).map(|i| {
            let next = format!("#/$defs/{}", (i + 1) % n);
            (
                i.to_string(),
                json!({"properties": {"x": {"$ref": next}}, "type": "object"}),
            )
        }))
    };
    let doubling = object((0..40).map(|i| {
        let next = format!("#/$defs/{}", i + 1);
        let schema = if i == 39 { json!({"type": "null"}) } else { json!({"type": "array", "prefixItems": [{"$ref": next}, {"$ref": next}], "minItems": 2, "items": false}) };
        (i.to_string(), schema)
    }));
    let crossed = |name: &str| json!({"properties": object((0..60).map(|i| (format!("{name}{i}"), json!({"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}))))});
    let names: Vec<Value> = (0..15_000).map(|n| json!(format!("name{n}"))).collect();
    let halves = names.split_at(7000);
    vec![
        ("product of unions", json!({"allOf": pairs(30)})),
        (
            "chain of references",
            json!({"$ref": "#/$defs/0", "$defs": chain(6000)}),
        ),
        (
            "doubling references",
            json!({"$ref": "#/$defs/0", "$defs": doubling}),
        ),
        (
            "self reference in allOf",
            json!({"allOf": [{"$ref": "#"}, {"type": "object"}]}),
        ),
        (
            "crossed references",
            json!({"$ref": "#/$defs/a", "$defs": {"a": crossed("x"), "b": crossed("y")}}),
        ),
        (
            "many properties",
            json!({"type": "object", "properties": object((0..15_000).map(|n| (format!("p{n}"), json!({"type": "string"}))))}),
        ),
        (
            "required properties",
            json!({"type": "object", "properties": object((0..9000).map(|n| (format!("p{n}"), json!({"type": "string"})))), "required": (0..9000).map(|n| format!("p{n}")).collect::<Vec<_>>()}),
        ),
        ("large enum", json!({"type": "string", "enum": names})),
        (
            "enums intersected",
            json!({"allOf": [{"enum": halves.0}, {"enum": halves.1}]}),
        ),
        (
            "ten megabytes",
            json!({"enum": (0..100).map(|n| format!("{n}{}", "x".repeat(100_000))).collect::<Vec<_>>()}),
        ),
        (
            "ten megabytes of nodes",
            json!({"properties": object((0..200_000).map(|n| (format!("property{n}"), json!({"type": "string", "maxLength": n}))))}),
        ),
        (
            "long strings",
            json!({"type": "string", "minLength": 999_999, "maxLength": 1_000_000}),
        ),
        (
            "long lists",
            json!({"type": "array", "items": {"type": "array", "items": true, "minItems": 1_000_000}, "minItems": 1_000_000}),
        ),
        (
            "small multiple",
            json!({"type": "number", "multipleOf": 1e-300}),
        ),
        (
            "large multiple",
            json!({"type": "integer", "multipleOf": 1e300}),
        ),
        (
            "odd multiple",
            json!({"type": "integer", "multipleOf": 4_294_967_291_u64}),
        ),
        (
            "large bounds",
            json!({"type": "integer", "minimum": -1e300, "maximum": 1.7e308}),
        ),
        (
            "fine bounds",
            json!({"type": "number", "minimum": 1.234_567_890_123_45e-300, "maximum": 1.2e-299}),
        ),
        (
            "nested pattern",
            json!({"type": "string", "pattern": "^((((a{1,100}){1,100}){1,100}){1,100})*$", "minLength": 1000}),
        ),
        (
            "counted pattern",
            json!({"type": "string", "pattern": "(a|b)*a(a|b){5000}", "format": "email"}),
        ),
        (
            "patterns intersected",
            json!({"allOf": (1..60).map(|n| json!({"type": "string", "pattern": format!("^(.{{{n}}}a|b)*$")})).collect::<Vec<_>>()}),
        ),
        (
            "pattern properties",
            json!({"patternProperties": object((0..300).map(|n| (format!("^a{{{n}}}b*[cd]{{1,50}}$"), json!(true))))}),
        ),
        (
            "oneOf of oneOf",
            json!({"oneOf": (0..90).map(|n| json!({"oneOf": [{"const": n}, {"type": "string", "maxLength": n}]})).collect::<Vec<_>>()}),
        ),
        (
            "any of objects",
            json!({"anyOf": (0..3000).map(|n| json!({"type": "object", "properties": {"same": {"type": "string"}, format!("p{n}"): true}})).collect::<Vec<_>>()}),
        ),
        (
            "sites of intersection",
            json!({"$defs": {"a": {"properties": object((0..1200).map(|n| (n.to_string(), json!(true))))}}, "properties": object((0..1200).map(|n| (n.to_string(), json!({"$ref": "#/$defs/a", "anyOf": [{"type": "string"}, {"type": "null"}]}))))}),
        ),
        (
            "unicode",
            json!({"const": "\u{0}\u{7f}\u{ffff}\u{10ffff}\\\""}),
        ),
        (
            "recursive and combined everywhere",
            json!({"$ref": "#/$defs/0", "$defs": object((0..300).map(|n| {
                let base = if n % 4 == 0 { json!({"required": ["a"]}) } else { json!({"$ref": format!("#/$defs/{}", n - 1)}) };
                let schema = json!({"type": "object", "allOf": [base, {"minProperties": 1}],
                    "properties": {"a": {"$ref": format!("#/$defs/{}", (n * 7 + 1) % 300), "required": ["a"]}}});
                (n.to_string(), schema)
            }))}),
        ),
        (
            "choices that require each other",
            json!({"$ref": "#/$defs/0", "$defs": object((0..120).map(|n| {
                let next = |step: usize| format!("#/$defs/{}", (n + step) % 120);
                let choices = match n % 6 {
                    0 => json!([{"required": ["b"]}]),
                    _ => json!([{"$ref": format!("#/$defs/{}", n - 1)}, {"required": ["a"]}, {"$ref": format!("#/$defs/{}", n - 1), "required": ["b"]}]),
                };
                (n.to_string(), json!({"type": "object", "anyOf": choices, "properties": {"a": {"$ref": next(1)}, "b": {"$ref": next(2)}}}))
            }))}),
        ),
        (
            "own options",
            json!({"x-guidance": {"whitespace_flexible": true, "item_separator": "("}, "type": "object"}),
        ),
        ("not a schema", json!([[[[]]]])),
    ]
}

fn texts() -> Vec<(&'static str, Grammar)> {
    let regex = |text: String| Grammar::Regex(text);
    let lark = |text: String| Grammar::Lark(text);
    let chain: String = (0..15_000).map(|i| format!("a{i}: a{}\n", i + 1)).collect();
    let doubling: String = (0..60)
        .map(|i| format!("a{i}: a{j} a{j}\n", j = i + 1))
        .collect();
    let terminals: String = (0..60)
        .map(|i| format!("A{i}: A{j} A{j}\n", j = i + 1))
        .collect();
    let gbnf = |text: String| Grammar::Gbnf(text);
    let rules: String = (0..3000)
        .map(|i| format!("a{i} ::= \"(\" a{} | \"x\"\n", i + 1))
        .collect();
    let doubled: String = (0..60)
        .map(|i| format!("a{i} ::= a{j} a{j}\n", j = i + 1))
        .collect();
    let words: String = (0..3000).map(|n| format!("\"word{n}\" | ")).collect();
    vec![
        ("gbnf chain", gbnf(format!("root ::= a0\n{rules}a3000 ::= root"))),
        ("gbnf doubling", gbnf(format!("root ::= a0\n{doubled}a60 ::= \"x\" | \"y\""))),
        ("gbnf doubling and recursion", gbnf(format!("root ::= a0 \"(\" root \")\" | a0\n{doubled}a60 ::= \"x\" | \"y\" | \"\""))),
        ("gbnf words", gbnf(format!("root ::= ({words} \"z\") root? [a-z]*"))),
        ("gbnf repetition", gbnf("root ::= ((((\"a\"{1,2000}){1,2000}){1,2000}){1,2000} \"b\")* | \"(\" root".to_owned())),
        ("gbnf repeated rules", gbnf("root ::= (\"(\" root \")\" | \"x\"){0,2000} (root2{2000}){2000}\nroot2 ::= root | \"y\"".to_owned())),
        ("gbnf groups", gbnf(format!("root ::= {}\"a\" root?{}", "(".repeat(64), "){0,3}".repeat(64)))),
        ("gbnf ambiguous", gbnf("root ::= \"a\" root? root? root? | \"aa\" root?".to_owned())),
        ("gbnf characters", gbnf("root ::= . root? | [^a] [^b]* [a-z]+ root?".to_owned())),
        ("alternations", regex("(a|aa|aaa)".repeat(620))),
        (
            "many alternatives",
            regex((0..20_000).map(|n| format!("w{n}|")).collect()),
        ),
        (
            "nested repetition",
            regex("((((((a{1,99}){1,99}){1,99}){1,99}){1,99}){1,99})+".to_owned()),
        ),
        (
            "nested stars",
            regex(format!("{}a{}", "(".repeat(200), ")*".repeat(200))),
        ),
        (
            "deep groups",
            regex(format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000))),
        ),
        ("counted suffix", regex("(a|b)*a(a|b){4000}".to_owned())),
        ("large count", regex("a{1000000000}".to_owned())),
        (
            "classes",
            regex(r"(\pL|\pN|[^\x00-\x{ffff}]){1,500}x".repeat(50)),
        ),
        ("long", regex("x".repeat(1 << 20))),
        ("long literal", regex("x".repeat(200 << 10))),
        (
            "chain of rules",
            lark(format!("start: a0\n{chain}a15000: \"x\"\n")),
        ),
        (
            "doubling rules",
            lark(format!("start: a0\n{doubling}a60: \"x\" | \"y\"\n")),
        ),
        (
            "doubling terminals",
            lark(format!("start: A0\n{terminals}A60: \"x\" | \"y\"\n")),
        ),
        (
            "counted rules",
            lark(
                "start: a{1000000,2000000000}\na: b{1000000,2000000}\nb: \"x\" | \"xx\" | start"
                    .to_owned(),
            ),
        ),
        (
            "ambiguous",
            lark("start: start start | \"a\" | \"aa\" | ".to_owned()),
        ),
        (
            "left recursion",
            lark("start: a\na: a a | b\nb: a | \"x\"".to_owned()),
        ),
        (
            "deep",
            lark(format!(
                "start: {}\"a\"{}",
                "(".repeat(50_000),
                ")".repeat(50_000)
            )),
        ),
        (
            "lark repetition",
            lark("start: A\nA: B{1,100}\nB: C{1,100}\nC: D{1,100}\nD: /a/ | \"aa\"".to_owned()),
        ),
        (
            "lark regex",
            lark("start: /((((a{1,100}){1,100}){1,100}){1,100})*/".to_owned()),
        ),
        (
            "lark pattern",
            lark("start: %json {\"type\": \"string\", \"pattern\": \"^((((a{1,100}){1,100}){1,100}){1,100})*$\", \"minLength\": 1000}".to_owned()),
        ),
        (
            "options",
            lark("%llguidance {\"no_forcing\": true, \"x\": 1}\nstart: \"a\"".to_owned()),
        ),
        (
            "json in lark",
            lark("start: %json {\"allOf\": [{\"$ref\": \"#\"}]}".to_owned()),
        ),
        (
            "complement",
            lark("start: A\nA: ~(/(a|b)*a(a|b){30}/) & ~(/(a|b)*b(a|b){30}/)".to_owned()),
        ),
    ]
}

/// Compiles it and takes some steps along it, whatever comes.
fn walk(vocabulary: &Vocabulary, name: &str, grammar: &Grammar) {
    let start = Instant::now();
    let matcher = vocabulary.matcher(grammar);
    let compiled = start.elapsed();
    let outcome = match matcher {
        Err(error) => error.to_string(),
        Ok(mut matcher) => {
            let mut steps = 0;
            loop {
                let mask = match matcher.mask() {
                    Ok(mask) => mask,
                    Err(error) => break format!("{error} after {steps} steps"),
                };
                let allowed = mask.count();
                let token = mask.iter().nth(steps * 7919 % allowed.max(1));
                let Some(token) = token.filter(|_| steps < 12) else {
                    break format!("{steps} steps");
                };
                if let Err(error) = matcher.accept(token) {
                    break format!("{error} after {steps} steps");
                }
                steps += 1;
            }
        }
    };
    let total = start.elapsed();
    let outcome: String = outcome.chars().take(160).collect();
    println!(
        "{compiled:9.1?} {total:9.1?}  {name}: {}",
        outcome.replace('\n', " ")
    );
}

#[test]
fn hostile_grammars_end() {
    let large = tokenizer("llama-bpe").map(|tokenizer| {
        let rows = tokenizer.vocab_len();
        Vocabulary::new(tokenizer, rows).unwrap()
    });
    for vocabulary in [Some(bytes().clone()), large].into_iter().flatten() {
        println!("{} tokens", vocabulary.tokens());
        for (name, schema) in schemas() {
            walk(&vocabulary, name, &Grammar::Schema(schema));
        }
        for (name, grammar) in texts() {
            walk(&vocabulary, name, &grammar);
        }
    }
}
