//! JSON Schemas as clients send them.

use hearth_grammar::{Error, Grammar};
use serde_json::{Value, json};

use crate::support::{bytes, check, matcher, takes};

#[test]
fn schemas_take_what_fits_and_nothing_else() {
    let rows: Vec<(Value, &[&str], &[&str])> = vec![
        (
            json!(true),
            &["1", "[]", "{\"a\": null}", "\"x\""],
            &["", "x", "[1 ]", "{ }"],
        ),
        (
            json!({}),
            &["null", "[1,2, 3]"],
            &["[1,  2]", "[1,\n2]", " 1"],
        ),
        (
            json!({"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": false}),
            &["{\"a\":true}", "{\"b\": 1, \"a\": false}"],
            &[
                "{\"a\":true,\"b\":1}",
                "{\"b\":1}",
                "{\"a\":true,\"c\":1}",
                "{}",
                "{\"a\" :true}",
            ],
        ),
        (
            json!({"properties": {"a": {"const": 1}}, "additionalProperties": {"type": "string"}, "type": "object"}),
            &["{}", "{\"a\":1}", "{\"b\":\"x\"}"],
            &["{\"b\":1}", "{\"a\":2}"],
        ),
        (
            json!({"type": ["string", "null"], "maxLength": 2}),
            &["\"ab\"", "\"\"", "null", "\"éé\""],
            &["\"abc\"", "1"],
        ),
        (
            json!({"type": "string", "nullable": true}),
            &["\"a\"", "null"],
            &["1"],
        ),
        (
            json!({"$ref": "#/$defs/n", "nullable": true, "$defs": {"n": {"type": "integer"}}}),
            &["1", "null"],
            &["\"a\""],
        ),
        (
            json!({"enum": ["a", 1, null, {"k": [true]}]}),
            &["\"a\"", "1", "null", "{\"k\":[true]}"],
            &["\"b\"", "2", "{}"],
        ),
        (
            json!({"type": "integer", "minimum": 5, "maximum": 120}),
            &["5", "42", "120"],
            &["4", "121", "05", "5.0", "-5"],
        ),
        (
            json!({"type": "number", "exclusiveMinimum": 0}),
            &["0.5", "3", "12.75"],
            &["-1"],
        ),
        (
            json!({"type": "integer", "multipleOf": 5}),
            &["10", "0", "-5"],
            &["7", "51"],
        ),
        (
            json!({"type": "string", "pattern": "^a[0-9]{2}$"}),
            &["\"a12\""],
            &["\"a1\"", "\"ba12\""],
        ),
        (
            json!({"type": "string", "pattern": "b"}),
            &["\"abc\""],
            &["\"ac\""],
        ),
        (
            json!({"type": "string", "format": "date"}),
            &["\"2024-02-29\""],
            &["\"2024-02-30\"", "\"x\""],
        ),
        (
            json!({"type": "string", "format": "uuid"}),
            &["\"123e4567-e89b-12d3-a456-426614174000\""],
            &["\"123\""],
        ),
        (
            json!({"type": "string", "format": "color"}),
            &["\"red\""],
            &["1"],
        ),
        (
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}),
            &["[true]", "[true, false]"],
            &["[]", "[true,true,true]", "[1]"],
        ),
        (
            json!({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false, "minItems": 2, "type": "array"}),
            &["[1,\"a\"]"],
            &["[1]", "[1,\"a\",2]"],
        ),
        (
            json!({"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 2}}),
            &["[]", "[1,2,2]"],
            &["[2]", "[1,1]"],
        ),
        (
            json!({"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"], "type": "object"}, {"properties": {"b": {"const": 2}}, "required": ["b"]}]}),
            &["{\"a\":1,\"b\":2}"],
            &["{\"a\":1}", "{\"b\":2}"],
        ),
        (
            json!({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#"}}]}),
            &["1", "[1, [2, []]]"],
            &["\"a\"", "[\"a\"]"],
        ),
        (
            json!({"type": "object", "patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": false}),
            &["{}", "{\"x_a\":1}"],
            &["{\"y\":1}", "{\"x_a\":\"s\"}"],
        ),
        (
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"const": 0}}),
            &["{\"q\":0}"],
            &["{}"],
        ),
        (json!({"const": "a\"b\n"}), &["\"a\\\"b\\n\""], &["\"ab\""]),
        (
            json!({"if": {}, "then": false, "type": "null"}),
            &["null"],
            &["1"],
        ),
        (
            json!({"$anchor": "x", "type": "array", "items": {"$ref": "#x"}}),
            &["[[],[[]]]"],
            &["[1]"],
        ),
    ];
    for (schema, good, bad) in rows {
        check(&Grammar::Schema(schema), good, bad);
    }
}

#[test]
fn json_is_an_object_or_any_value() {
    check(
        &Grammar::Json,
        &["{}", "{\"a\": [1, {\"b\":null}]}"],
        &["[]", "1", "{} "],
    );
    check(
        &Grammar::AnyJson,
        &["{}", "[]", "-1.5e-3", "true"],
        &["01", "tru", ".5"],
    );
}

/// As pydantic writes a model with nested, optional, literal and recursive parts.
fn pydantic() -> Value {
    json!({
        "$defs": {
            "Kind": {"enum": ["cat", "dog"], "title": "Kind", "type": "string"},
            "Node": {
                "properties": {
                    "kind": {"$ref": "#/$defs/Kind", "description": "which"},
                    "weight": {"anyOf": [{"exclusiveMinimum": 0, "type": "number"}, {"type": "null"}], "default": null, "title": "Weight"},
                    "children": {"items": {"$ref": "#/$defs/Node"}, "title": "Children", "type": "array"},
                },
                "required": ["kind"],
                "title": "Node",
                "type": "object",
                "additionalProperties": false,
            },
        },
        "$ref": "#/$defs/Node",
    })
}

/// As zod writes a discriminated union under `$schema`.
fn zod() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "result": {
                "oneOf": [
                    {"type": "object", "properties": {"status": {"type": "string", "const": "ok"}, "data": {"type": "string"}}, "required": ["status", "data"], "additionalProperties": false},
                    {"type": "object", "properties": {"status": {"type": "string", "const": "failed"}, "code": {"type": "integer", "minimum": -9007199254740991_i64, "maximum": 9007199254740991_i64}}, "required": ["status", "code"], "additionalProperties": false},
                ],
            },
            "at": {"type": "string", "format": "date-time", "pattern": "^\\d{4}-.*$"},
        },
        "required": ["result"],
        "additionalProperties": false,
    })
}

#[test]
fn schemas_of_libraries_are_taken_without_warning() {
    for (schema, good, bad) in [
        (
            pydantic(),
            &[
                "{\"kind\":\"cat\"}",
                "{\"kind\": \"dog\", \"weight\": 2.5, \"children\": [{\"kind\":\"cat\",\"weight\":null}]}",
            ][..],
            &[
                "{\"kind\":\"cow\"}",
                "{\"weight\":1}",
                "{\"kind\":\"cat\",\"children\":[1]}",
            ][..],
        ),
        (
            zod(),
            &[
                "{\"result\":{\"status\":\"ok\",\"data\":\"x\"}}",
                "{\"result\":{\"status\":\"failed\",\"code\":-3},\"at\":\"2024-01-01T00:00:00Z\"}",
            ],
            &[
                "{\"result\":{\"status\":\"ok\",\"code\":1}}",
                "{\"result\":{\"status\":\"maybe\"}}",
            ],
        ),
        // What is not listed is not there, unless the schema speaks of it.
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
            &["{}", "{\"a\":1}"],
            &["{\"b\":1}", "{\"a\":1,\"b\":1}"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": true}),
            &["{\"a\":1,\"b\":1}"],
            &["{\"a\":\"\"}"],
        ),
        (
            json!({"allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]},
            ]}),
            &["{\"a\":1,\"b\":1}"],
            &["{\"a\":1}"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["b"]}),
            &["{\"a\":1,\"b\":1}"],
            &["{\"a\":1}"],
        ),
    ] {
        let grammar = Grammar::Schema(schema);
        assert_eq!(matcher(&grammar).warnings(), [""; 0]);
        check(&grammar, good, bad);
    }
}

#[test]
fn what_is_not_enforced_is_said() {
    for (schema, expected) in [
        (
            json!({"type": "array", "uniqueItems": true}),
            "`uniqueItems` at #",
        ),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "",
        ),
        (
            json!({"oneOf": [{"type": "string", "minLength": 2}, {"type": "string", "maxLength": 3}]}),
            "oneOf",
        ),
        (
            json!({"type": "object", "properties": {"a": true, "b": true}, "additionalProperties": true, "maxProperties": 1}),
            "maxProperties",
        ),
    ] {
        let warnings = matcher(&Grammar::Schema(schema.clone()))
            .warnings()
            .to_vec();
        println!("{warnings:?}");
        assert_eq!(warnings.len(), 1, "{schema}: {warnings:?}");
        assert!(
            warnings[0].starts_with("ignored: ") && warnings[0].contains(expected),
            "{warnings:?}"
        );
    }
}

#[test]
fn schemas_that_nothing_fits_are_refused() {
    for schema in [
        json!(false),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "object", "properties": {"a": false}, "required": ["a"]}),
        json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
    ] {
        let error = bytes().matcher(&Grammar::Schema(schema.clone())).err();
        println!("{schema}: {error:?}");
        assert!(
            matches!(error, Some(Error::Schema { .. } | Error::Stuck { .. })),
            "{schema}"
        );
    }
}

/// A person whose friends are people, kept as animals' owners: `Pet` is combined where it is referred to and while it is
/// being read.
fn pets() -> Value {
    json!({
        "$ref": "#/$defs/Person",
        "$defs": {
            "Person": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "pets": {"type": "array", "items": {"type": "object", "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}},
                },
                "required": ["name"],
            },
            "Pet": {
                "type": "object",
                "properties": {"kind": {"type": "string"}, "owner": {"$ref": "#/$defs/Person", "description": "whose", "default": null, "examples": []}},
                "required": ["kind"],
            },
            "Cat": {"allOf": [{"$ref": "#/$defs/Pet"}, {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}]},
            "Dog": {"allOf": [{"$ref": "#/$defs/Pet"}], "properties": {"kind": {"const": "dog"}}, "required": ["owner"]},
        },
    })
}

#[test]
fn recursive_schemas_may_stand_beside_others() {
    let node = |next: Value| json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"v": {"type": "integer"}, "next": next}}}});
    let rows: Vec<(Value, &[&str], &[&str])> = vec![
        (
            node(
                json!({"$ref": "#/$defs/n", "description": "d", "title": "T", "default": {}, "examples": [1], "deprecated": true}),
            ),
            &["{}", "{\"v\":1,\"next\":{\"next\":{}}}"],
            &["{\"next\":1}"],
        ),
        (
            node(json!({"$ref": "#/$defs/n", "required": ["v"]})),
            &["{}", "{\"next\":{\"v\":1,\"next\":{\"v\":2}}}"],
            &["{\"next\":{}}", "{\"next\":{\"v\":1,\"next\":{}}}"],
        ),
        (
            node(json!({"type": ["object", "null"], "$ref": "#/$defs/n"})),
            &["{\"next\":{\"next\":{}}}"],
            &["{\"next\":null}"],
        ),
        (
            node(json!({"$ref": "#/$defs/n", "nullable": true, "required": ["v"]})),
            &["{\"next\":null}", "{\"next\":{\"v\":1,\"next\":null}}"],
            &["{\"next\":{}}"],
        ),
        (
            node(
                json!({"anyOf": [{"$ref": "#/$defs/n"}, {"type": "array", "items": {"$ref": "#"}}], "minItems": 1, "required": ["v"]}),
            ),
            &["{\"next\":[{}]}", "{\"next\":{\"v\":1,\"next\":[{}, {}]}}"],
            &["{\"next\":[]}", "{\"next\":{}}"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#", "properties": {"b": {"const": 1}}}, "b": {"type": "integer"}}}),
            &["{\"b\":2}", "{\"a\":{\"b\":1}}"],
            &["{\"a\":{\"b\":2}}"],
        ),
        (
            pets(),
            &[
                "{\"name\":\"a\",\"pets\":[{\"kind\":\"cat\",\"owner\":{\"name\":\"b\"},\"lives\":9}]}",
                "{\"name\":\"a\",\"pets\":[{\"kind\":\"dog\",\"owner\":{\"name\":\"b\",\"pets\":[{\"kind\":\"cat\"}]}}]}",
            ],
            &[
                "{\"name\":\"a\",\"pets\":[{\"kind\":\"dog\"}]}",
                "{\"name\":\"a\",\"pets\":[{\"kind\":\"cow\"}]}",
            ],
        ),
    ];
    for (schema, good, bad) in rows {
        check(&Grammar::Schema(schema), good, bad);
    }
}

#[test]
fn what_is_combined_without_an_end_is_refused_by_name() {
    for (schema, place) in [
        // Both sides lead back to the whole through the same property.
        (
            json!({"type": "object", "properties": {"next": {"$ref": "#", "properties": {"next": {"$ref": "#", "required": ["v"]}, "v": true}}}}),
            "#",
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "allOf": [{"$ref": "#/$defs/a"}]}}}),
            "#/$defs/a",
        ),
    ] {
        match bytes().matcher(&Grammar::Schema(schema.clone())) {
            Err(Error::Schema { path, reason }) => {
                println!("{path}: {reason}");
                assert!(path.starts_with(place), "{schema}: {path}");
                assert!(reason.contains("back to"), "{schema}: {reason}");
            }
            other => panic!("{schema}: {other:?}"),
        }
    }
}

/// What has no end is not begun where something else fits.
#[test]
fn endless_parts_are_left_out() {
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}},
        "$defs": {"x": {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "required": ["x"]}}});
    check(
        &Grammar::Schema(schema),
        &["{}", "{\"b\":null}"],
        &["{\"a\"", "{\"b\":{"],
    );
}

#[test]
fn blanks_cannot_go_on_for_ever() {
    let start = matcher(&Grammar::AnyJson);
    for text in [
        "{\"a\":  1}",
        "[1,  1]",
        "{ ",
        "[ ",
        "[1 ",
        "{\"a\" ",
        "{\"a\":\n",
        "[1,\t",
    ] {
        let mut matcher = start.fork();
        assert!(
            crate::support::follow(&mut matcher, text.as_bytes()) < text.len(),
            "{text:?}"
        );
    }
    assert!(takes(&start, "{\"a\": [1, 2]}"));
}
