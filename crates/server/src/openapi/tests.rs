use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hearth_store::{Store, config::Settings};
use tower::ServiceExt;

use super::*;
use crate::core::models::{Config, Models};
use crate::core::{Failure, Service};
use crate::dialects::openai::responses::items::Past;
use crate::dialects::{Stamp, anthropic, llama_server, ollama, openai};
use crate::library::Library;
use crate::metrics::Metrics;
use crate::routes::{App, router};

/// All sources below a folder of this crate, without their tests.
fn sources(folder: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src")
            .join(folder),
    ];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !["flags", "tests"].contains(&name) {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                texts.push(code.to_owned());
            }
        }
    }
    texts
}

/// The first text behind each of some openings.
fn texts_behind<'t>(code: &'t str, opening: &str) -> Vec<&'t str> {
    let pieces = code.split(opening).skip(1);
    pieces
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect()
}

#[test]
fn every_route_of_the_sources_is_documented() {
    let table = table().unwrap();
    let known: HashSet<&str> = table.iter().map(|route| route.path).collect();
    let mut found = 0;
    for code in sources("") {
        for path in texts_behind(&code, ".route(") {
            found += 1;
            assert!(
                known.contains(path),
                "{path} has no line in openapi/routes.txt"
            );
        }
    }
    assert!(found > 20, "{found}");
}

/// All routes over an empty store.
fn app(folder: &Path) -> Router {
    let library = Library::new(Store::new(folder), Settings::default());
    let service = Service::new(Models::new(library, Config::default()));
    let app = App::open(service, folder, None);
    router(app).merge(crate::edge::routes(Arc::new(Metrics::new()), None))
}

#[tokio::test]
async fn every_documented_route_is_routed() {
    let folder = tempfile::tempdir().unwrap();
    let router = app(folder.path());
    let mut missing = Vec::new();
    for route in table().unwrap() {
        let request = Request::builder()
            .method(route.method)
            .uri(route.sample())
            .header(CONTENT_TYPE, "application/json");
        // No body that is this says anything that could be done.
        let request = request.body(Body::from("[]")).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        // A stream may have no end.
        let kind = answer.headers().get(CONTENT_TYPE);
        if status == StatusCode::OK && kind.is_some_and(|kind| kind == "text/event-stream") {
            continue;
        }
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        // The router's own 404 has no body; HEAD has none in any case.
        let nobody = status == StatusCode::NOT_FOUND && body.is_empty() && route.method != "HEAD";
        if nobody || status == StatusCode::METHOD_NOT_ALLOWED {
            missing.push(format!("{} {}", route.method, route.path));
        }
    }
    assert!(missing.is_empty(), "documented and not routed: {missing:?}");
}

/// Names of schemas that a value leads to.
fn references(value: &Value, schemas: &Map<String, Value>, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(path) = map.get("$ref").and_then(Value::as_str) {
                let name = path.rsplit('/').next().unwrap();
                let schema = schemas
                    .get(name)
                    .unwrap_or_else(|| panic!("no schema {name}"));
                if found.insert(name.to_owned()) {
                    references(schema, schemas, found);
                }
            }
            map.values()
                .for_each(|value| references(value, schemas, found));
        }
        Value::Array(list) => list
            .iter()
            .for_each(|value| references(value, schemas, found)),
        _ => {}
    }
}

#[test]
fn every_schema_is_there_and_used() {
    let document = document().unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut used = BTreeSet::new();
    references(&document["paths"], schemas, &mut used);
    let all: BTreeSet<String> = schemas.keys().cloned().collect();
    // Those are taken over by others.
    let parts = [
        "LlamaCommon",
        "Limited",
        "OllamaRun",
        "OpenAiCommon",
        "Sampling",
        "Thinking",
    ];
    let unused: Vec<&String> = all
        .difference(&used)
        .filter(|name| !parts.contains(&name.as_str()))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
    let operations = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values());
    let ids: Vec<&Value> = operations
        .map(|operation| &operation["operationId"])
        .collect();
    let different: HashSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), different.len());
}

/// What begins a list of names of fields in the dialects.
const TABLES: &[&str] = &[
    "const OPTIONS:",
    "const SETTINGS:",
    "const NUMBERS:",
    "const BARE:",
    "const STRUCTURED:",
    "const MAX_TOKENS:",
    "const HARMLESS:",
    "const WITHOUT_EFFECT:",
    "const SAMPLING:",
    "fields.ignore(",
    "body.ignore(",
    "in [",
];

fn is_field(name: &str) -> bool {
    name.len() > 1
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Names of fields that code reads.
fn fields_of(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for kind in [
        "value", "str", "bool", "f64", "i64", "u64", "usize", "list", "map", "fields", "strings",
    ] {
        names.extend(texts_behind(code, &format!("take_{kind}(")));
    }
    names.extend(texts_behind(code, "require_str("));
    names.extend(texts_behind(code, "bounded(fields,"));
    for table in TABLES {
        for rest in code.split(table).skip(1) {
            let end = match *table {
                "in [" => rest.find(']'),
                "fields.ignore(" | "body.ignore(" => rest.find(')'),
                _ => rest.find("\n];"),
            };
            let list = &rest[..end.unwrap_or(0)];
            names.extend(
                list.split('"')
                    .skip(1)
                    .step_by(2)
                    .filter(|name| is_field(name)),
            );
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn every_field_that_a_dialect_reads_is_documented() {
    // Words in lists of the code that are no fields.
    let others = [
        // Of answers.
        "total_duration",
        "load_duration",
        "prompt_eval_count",
        "prompt_eval_duration",
        "eval_count",
        "eval_duration",
        "modelfile",
        // Of lines of batches.
        "method",
        "body",
    ];
    let document = document().unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (folder, tag) in [
        ("dialects/ollama", "Ollama"),
        ("dialects/openai", "OpenAI"),
        ("dialects/anthropic", "Anthropic"),
        ("dialects/llama_server", "llama-server"),
    ] {
        let mut names = BTreeSet::new();
        let paths = document["paths"].as_object().unwrap().values();
        for operation in paths
            .flat_map(|path| path.as_object().unwrap().values())
            .filter(|it| it["tags"][0] == tag)
        {
            references(operation, schemas, &mut names);
        }
        let properties = names
            .iter()
            .filter_map(|name| schemas[name]["properties"].as_object());
        let documented: HashSet<&String> = properties.flat_map(Map::keys).collect();
        let read: BTreeSet<String> = sources(folder)
            .iter()
            .flat_map(|code| fields_of(code))
            .collect();
        assert!(read.len() > 20, "{folder}: {read:?}");
        let missing: Vec<&String> = read
            .iter()
            .filter(|name| !documented.contains(name) && !others.contains(&name.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "{tag} reads fields that openapi/schemas.txt does not have: {missing:?}"
        );
    }
}

/// A value that fits a schema.
fn sample(schema: &Value, schemas: &Map<String, Value>) -> Value {
    if let Some(path) = schema["$ref"].as_str() {
        return sample(&schemas[path.rsplit('/').next().unwrap()], schemas);
    }
    if let Some(first) = schema["anyOf"].get(0) {
        return sample(first, schemas);
    }
    for given in [
        &schema["examples"][0],
        &schema["default"],
        &schema["enum"][0],
    ] {
        if !given.is_null() {
            return given.clone();
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!("x"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([sample(&schema["items"], schemas)]),
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required.map(|name| {
                let name = name.as_str().unwrap();
                (
                    name.to_owned(),
                    sample(&schema["properties"][name], schemas),
                )
            });
            Value::Object(fields.collect())
        }
        _ => json!("x"),
    }
}

/// A reader of bodies: what it did not know.
type Reader = fn(Map<String, Value>) -> Result<Vec<String>, Failure>;

fn readers() -> Vec<(&'static str, Reader)> {
    vec![
        ("OllamaChat", |body| {
            ollama::chat(body).map(|it| it.warnings)
        }),
        ("OllamaGenerate", |body| {
            ollama::generate(body).map(|it| it.warnings)
        }),
        ("OllamaEmbed", |body| {
            ollama::embed(body).map(|it| it.warnings)
        }),
        ("OllamaEmbeddings", |body| {
            ollama::embeddings(body).map(|it| it.warnings)
        }),
        ("OllamaShow", |body| {
            ollama::asked_show(body).map(|it| it.warnings)
        }),
        ("OllamaTransfer", |body| {
            ollama::asked_transfer(body).map(|it| it.warnings)
        }),
        ("OllamaCreate", |body| {
            ollama::asked_create(body).map(|it| it.warnings)
        }),
        ("OpenAiChat", |body| {
            openai::chat::request(body).map(|it| it.ignored)
        }),
        ("OpenAiCompletion", |body| {
            openai::completions::request(body).map(|it| it.asked.ignored)
        }),
        ("OpenAiEmbed", |body| {
            openai::embeddings::request(body).map(|it| it.ignored)
        }),
        ("OpenAiResponse", |body| {
            let stamp = Stamp::new(std::time::UNIX_EPOCH, "x");
            openai::responses::request(body, &Past::default(), &stamp).map(|it| it.asked.ignored)
        }),
        ("OpenAiBatch", |body| {
            openai::batches::request(body).map(|it| it.ignored)
        }),
        ("AnthropicRequest", |body| {
            anthropic::request(body).map(|it| it.warnings)
        }),
        ("AnthropicCount", |body| {
            anthropic::count(body).map(|it| it.warnings)
        }),
        ("LlamaCompletion", |body| {
            llama_server::completion(body, &llama_server::Standing::default())
                .map(|it| it.style.notes)
        }),
        ("LlamaInfill", |body| {
            llama_server::infill(body, &llama_server::Standing::default()).map(|it| it.style.notes)
        }),
        ("Rerank", |body| {
            llama_server::rerank::request(body).map(|it| it.warnings)
        }),
    ]
}

#[test]
fn every_documented_field_is_read() {
    let document = document().unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut unread = Vec::new();
    for (name, reader) in readers() {
        let schema = &schemas[name];
        let example = schema["examples"][0].as_object().unwrap();
        let told = reader(example.clone()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(told.is_empty(), "the example of {name}: {told:?}");
        for (field, kind) in schema["properties"].as_object().unwrap() {
            let mut body = example.clone();
            body.insert(field.clone(), sample(kind, schemas));
            // Refusals are of the value: the field is known.
            let told = reader(body).unwrap_or_default();
            let word = |text: &String| text.split([' ', '.']).any(|word| word == field);
            if told
                .iter()
                .any(|text| word(text) && !text.contains("left out"))
            {
                unread.push(format!("{name} has {field}: {told:?}"));
            }
        }
    }
    assert!(unread.is_empty(), "nobody reads {unread:#?}");
}

#[tokio::test]
async fn the_page_may_run_its_own_script_alone() {
    let folder = tempfile::tempdir().unwrap();
    let request = Request::builder().uri("/docs").body(Body::empty()).unwrap();
    let answer = app(folder.path()).oneshot(request).await.unwrap();
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'sha256-"),
        "{policy}"
    );
    assert_ne!(
        super::policy("<script>a</script>"),
        super::policy("<script>b</script>")
    );
    // Nothing of it comes from elsewhere, and nothing in it needs what the policy forbids.
    for forbidden in [
        "http://",
        "https://",
        " style=",
        "onclick",
        "innerHTML",
        "<script src",
        "eval(",
    ] {
        assert!(!PAGE.contains(forbidden), "{forbidden}");
    }
    assert_eq!(PAGE.matches("<script>").count(), 1);
    assert_eq!(PAGE.matches("<style>").count(), 1);
}
