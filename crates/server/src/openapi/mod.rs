//! `GET /openapi.json`, OpenAPI 3.1 of the whole server, and `GET /docs`, a page that shows it without any network.
//!
//! `routes.txt` has a line for each route and `schemas.txt` the bodies in a small language; both are read when somebody
//! asks first. Tests hold them to the router and to what the dialects read, in both directions.

mod schema;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::edge::Scope;
use crate::edge::guard::{is_public, scope_of};

const ROUTES: &str = include_str!("routes.txt");
const SCHEMAS: &str = include_str!("schemas.txt");
const PAGE: &str = include_str!("../../assets/docs.html");

const ABOUT: &str = "Language models of this machine behind the protocols of Ollama, OpenAI, Anthropic and llama-server. \
    In every body `null` is the same as absent. Fields that are not known are ignored, and the answer says so.";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = document().expect("a test reads the tables");
    document.to_string()
});
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    HeaderValue::from_str(&policy(PAGE)).expect("base64 and directives are ASCII")
});

/// Both routes.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(show_document))
        .route("/docs", get(show_page))
}

async fn show_document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

async fn show_page() -> impl IntoResponse {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (
        [
            (CONTENT_TYPE, kind),
            (CONTENT_SECURITY_POLICY, POLICY.clone()),
        ],
        PAGE,
    )
}

/// Lets a page run its own script and style, by their digests, and ask this server; nothing else.
fn policy(page: &str) -> String {
    let digest = |tag: &str| {
        let begin = page.split_once(&format!("<{tag}>")).map_or("", |it| it.1);
        let text = begin.split_once(&format!("</{tag}>")).map_or("", |it| it.0);
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        format!("'sha256-{}'", STANDARD.encode(digest))
    };
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        digest("script"),
        digest("style")
    )
}

/// A route as `routes.txt` has it.
#[derive(Debug)]
struct Route<'t> {
    method: &'t str,
    /// As the router writes it: `/v1/models/{*id}`.
    path: &'t str,
    tag: &'t str,
    error: &'t str,
    body: &'t str,
    answers: &'t str,
    summary: &'t str,
    /// Fields of the query, each a line.
    query: Vec<&'t str>,
}

impl Route<'_> {
    /// The path as OpenAPI writes it.
    fn template(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The names in its path.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| name.trim_start_matches('*'))
    }

    /// A path that it answers.
    fn sample(&self) -> String {
        let parts = self.path.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { "x" } else { part });
        parts.collect::<Vec<_>>().join("/")
    }

    /// Who may ask.
    fn scope(&self) -> &'static str {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap_or_default();
        match (
            is_public(&method, &self.sample()),
            scope_of(&method, &self.sample()),
        ) {
            (true, _) => "none",
            (false, Scope::Use) => "use",
            (false, Scope::Manage) => "manage",
        }
    }
}

/// Reads the table.
fn table() -> Result<Vec<Route<'static>>, String> {
    let (mut tag, mut error) = ("", "");
    let mut routes: Vec<Route<'static>> = Vec::new();
    for line in ROUTES.lines() {
        if let Some(head) = line.strip_prefix("## ") {
            (tag, error) = head.split_once(", ").ok_or(head)?;
        } else if schema::is_blank(line) {
        } else if let Some(field) = line.strip_prefix("  ") {
            routes.last_mut().ok_or(line)?.query.push(field);
        } else {
            let columns: Vec<&str> = line.split(" | ").collect();
            let [method, path, body, answers, summary] = columns[..] else {
                return Err(format!("five columns were expected: {line:?}"));
            };
            routes.push(Route {
                method,
                path,
                tag,
                error,
                body,
                answers,
                summary,
                query: Vec::new(),
            });
        }
    }
    Ok(routes)
}

/// The document.
///
/// # Errors
/// With the line of a table that cannot be read.
fn document() -> Result<Value, String> {
    let routes = table()?;
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in &routes {
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
        let path = paths.entry(route.template()).or_insert_with(|| json!({}));
        path[route.method.to_lowercase()] = operation(route)?;
    }
    let tags: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag })).collect();
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hearth", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "." }],
        // A server without keys asks for none.
        "security": [{}, { "bearer": [] }, { "header": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schema::read(SCHEMAS)?,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "header": { "type": "apiKey", "in": "header", "name": "x-api-key" },
            },
        },
    }))
}

fn reference(name: &str) -> Value {
    json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } })
}

fn operation(route: &Route<'_>) -> Result<Value, String> {
    let id = format!("{}{}", route.method.to_lowercase(), route.template());
    let id: String = id
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '_'
            }
        })
        .collect();
    let mut parameters: Vec<Value> = route
        .names()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    for line in &route.query {
        let field = schema::field(line)?;
        parameters.push(json!({
            "name": field.name, "in": "query", "required": field.required, "schema": field.schema,
        }));
    }
    let mut operation = json!({
        "tags": [route.tag], "summary": route.summary, "operationId": id, "x-scope": route.scope(),
        "responses": {
            "2XX": answers(route)?,
            "default": { "description": "Refused", "content": { "application/json": reference(route.error) } },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    let (kind, content) = match route.body.split_once(' ') {
        _ if route.body == "-" => return Ok(operation),
        Some(("form", name)) => ("multipart/form-data", reference(name)),
        _ if route.body == "bytes" => ("application/octet-stream", json!({})),
        _ if route.body == "any" => (
            "application/json",
            json!({ "schema": { "type": "object" } }),
        ),
        _ => ("application/json", reference(route.body)),
    };
    operation["requestBody"] = json!({ "required": true, "content": { kind: content } });
    Ok(operation)
}

fn answers(route: &Route<'_>) -> Result<Value, String> {
    let mut content = Map::new();
    for kind in route.answers.split(' ') {
        let media = match kind {
            "none" => continue,
            "json" => "application/json",
            "lines" => "application/x-ndjson",
            "events" => "text/event-stream",
            "text" if route.path == "/docs" => "text/html",
            "text" => "text/plain",
            "bytes" => "application/octet-stream",
            other => return Err(format!("{other:?} is no kind of answer")),
        };
        content.insert(media.to_owned(), json!({}));
    }
    let description = match content.is_empty() {
        true => "Done, without a body",
        false => "Answered",
    };
    let mut answer = json!({ "description": description });
    if !content.is_empty() {
        answer["content"] = Value::Object(content);
    }
    Ok(answer)
}
