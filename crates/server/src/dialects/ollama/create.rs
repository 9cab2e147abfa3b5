//! `POST /api/create` (reference 5.17).

use hearth_store::{Base, Digest, Name, Recipe, Role, Turn};
use serde_json::{Map, Value};

use super::super::Fields;
use super::common::{model, parse_name};
use super::{ignored, options};
use crate::core::Failure;

/// A request to make a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedCreate {
    /// What it is to be called.
    pub name: Name,
    /// What it is made of. A stored model in it that is missing is fetched first.
    pub recipe: Recipe,
    /// The mixture of block types that the weights are to have.
    pub quantize: Option<String>,
    /// Tell how far it is.
    pub stream: bool,
    /// What was ignored, in words.
    pub warnings: Vec<String>,
}

/// Reads a body.
///
/// # Errors
/// A field says what cannot be, or asks for what hearth cannot do.
pub fn asked_create(body: Map<String, Value>) -> Result<AskedCreate, Failure> {
    let mut fields = Fields::new(body);
    let model = model(&mut fields)?;
    let name = parse_name("model", &model)?;
    for (field, why) in REFUSED {
        if fields.has(field) {
            return Err(fields.refuse(field, why));
        }
    }
    let text = |fields: &mut Fields, name: &str| -> Result<Option<String>, Failure> {
        Ok(fields.take_str(name)?.filter(|text| !text.is_empty()))
    };
    let old = text(&mut fields, "quantization")?;
    let quantize = text(&mut fields, "quantize")?.or(old);
    let mut params = fields.take_map("parameters")?.unwrap_or_default();
    options::check(&mut params)?;
    let recipe = Recipe {
        from: from(&mut fields)?,
        adapter: adapter(&mut fields)?,
        draft: single(
            files(&mut fields, "draft_files")?,
            "draft_files",
            "only one draft model is supported",
        )?,
        template: text(&mut fields, "template")?,
        system: text(&mut fields, "system")?,
        licenses: fields.take_strings("license")?.unwrap_or_default(),
        params,
        messages: messages(&mut fields)?,
        renderer: text(&mut fields, "renderer")?,
        parser: text(&mut fields, "parser")?,
        requires: text(&mut fields, "requires")?,
    };
    Ok(AskedCreate {
        name,
        recipe,
        quantize,
        stream: fields.take_bool("stream")?.unwrap_or(true),
        warnings: fields.rest().iter().map(|name| ignored(name)).collect(),
    })
}

/// What would make another model than the client means if it were left out.
const REFUSED: &[(&str, &str)] = &[
    (
        "remote_host",
        "names a hosted model: hearth runs models on this machine only",
    ),
    (
        "draft_quantize",
        "is not supported: quantize the draft model before",
    ),
    (
        "info",
        "is not supported: what a model is, is read from its files",
    ),
];

/// `from`, `files`, or both.
fn from(fields: &mut Fields) -> Result<Vec<Base>, Failure> {
    let mut bases = Vec::new();
    if let Some(text) = fields.take_str("from")?.filter(|text| !text.is_empty()) {
        bases.push(Base::Name(parse_name("from", &text)?));
    }
    bases.extend(bases_of(files(fields, "files")?));
    if bases.is_empty() {
        return Err(Failure::invalid(
            "from",
            "neither 'from' or 'files' was specified",
        ));
    }
    Ok(bases)
}

/// Files of a checkpoint directory belong together; GGUF files are each what they are.
fn bases_of(files: Vec<(String, Digest)>) -> Vec<Base> {
    let part = |(path, _): &(String, Digest)| {
        [".safetensors", ".json", ".model", ".jinja"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    let (parts, single): (Vec<_>, Vec<_>) = match files.iter().any(part) {
        // A GGUF file beside it is a projector.
        true => files
            .into_iter()
            .partition(|(path, _)| !path.ends_with(".gguf")),
        false => (Vec::new(), files),
    };
    let directory = (!parts.is_empty()).then_some(Base::Directory(parts));
    directory
        .into_iter()
        .chain(single.into_iter().map(|(_, digest)| Base::Blob(digest)))
        .collect()
}

fn adapter(fields: &mut Fields) -> Result<Option<Base>, Failure> {
    let bases = bases_of(files(fields, "adapters")?);
    one(bases, "adapters", "only one adapter is currently supported")
}

fn single(files: Vec<(String, Digest)>, field: &str, many: &str) -> Result<Option<Base>, Failure> {
    one(
        files
            .into_iter()
            .map(|(_, digest)| Base::Blob(digest))
            .collect(),
        field,
        many,
    )
}

fn one(mut bases: Vec<Base>, field: &str, many: &str) -> Result<Option<Base>, Failure> {
    match bases.len() {
        0 | 1 => Ok(bases.pop()),
        _ => Err(Failure::invalid(field, many)),
    }
}

/// Paths and digests of contents that were sent before, in the order of the paths.
fn files(fields: &mut Fields, name: &str) -> Result<Vec<(String, Digest)>, Failure> {
    let map = fields.take_map(name)?.unwrap_or_default();
    let read = |(path, digest): (String, Value)| {
        let field = format!("{name}.{path}");
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if path.contains(['\\', ':', '\0']) || !path.split('/').all(plain) {
            return Err(Failure::invalid(field, "file path must be relative"));
        }
        let digest = digest.as_str().and_then(|text| text.parse().ok());
        let digest = digest.ok_or_else(|| Failure::invalid(field, "invalid digest format"))?;
        Ok((path, digest))
    };
    let mut files: Vec<_> = map.into_iter().map(read).collect::<Result<_, _>>()?;
    files.sort_unstable();
    Ok(files)
}

fn messages(fields: &mut Fields) -> Result<Vec<Turn>, Failure> {
    let list = fields.take_list("messages")?.unwrap_or_default();
    let read = |(index, value): (usize, Value)| {
        let mut turn = Fields::of(format!("messages[{index}]"), value)?;
        let role = turn.require_str("role")?.to_lowercase();
        if Role::of(&role).is_none() {
            return Err(turn.refuse(
                "role",
                "must be one of \"system\", \"user\", or \"assistant\"",
            ));
        }
        Ok(Turn {
            role,
            content: turn.take_str("content")?.unwrap_or_default(),
        })
    };
    list.into_iter().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(body: Value) -> Result<AskedCreate, Failure> {
        let mut body = body.as_object().unwrap().clone();
        body.entry("model").or_insert(json!("mine"));
        asked_create(body)
    }

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    #[test]
    fn a_model_made_of_another() {
        let asked = of(json!({
            "from": "llama3.2", "system": "be brief", "template": "{{ .Prompt }}", "license": "MIT", "stream": false,
            "parameters": {"temperature": 0.5, "stop": "x"}, "messages": [{"role": "User", "content": "a"}],
            "renderer": "r", "parser": "p", "requires": "0.1", "quantize": "q4_K_M", "modelfile": "FROM x", "adapters": {},
        }))
        .unwrap();
        assert_eq!(asked.name.to_string(), "mine:latest");
        let recipe = &asked.recipe;
        assert_eq!(recipe.from, [Base::Name("llama3.2".parse().unwrap())]);
        assert_eq!(recipe.system.as_deref(), Some("be brief"));
        assert_eq!(recipe.licenses, ["MIT"]);
        assert_eq!(
            Value::Object(recipe.params.clone()),
            json!({"temperature": 0.5, "stop": ["x"]})
        );
        assert_eq!(
            recipe.messages,
            [Turn {
                role: "user".into(),
                content: "a".into()
            }]
        );
        assert_eq!(
            (asked.quantize.as_deref(), asked.stream),
            (Some("q4_K_M"), false)
        );
        assert_eq!(asked.warnings, ["modelfile is ignored: not known here"]);
        assert!(
            of(json!({"from": "a", "license": ["A", "B"]}))
                .unwrap()
                .stream
        );
        let old = asked_create(
            json!({"name": "mine", "from": "a"})
                .as_object()
                .unwrap()
                .clone(),
        )
        .unwrap();
        assert_eq!(old.name.to_string(), "mine:latest");
    }

    #[test]
    fn a_model_made_of_files() {
        let (a, b, c) = (digest("a"), digest("b"), digest("c"));
        let asked =
            of(json!({"files": {"m-00002-of-00002.gguf": b, "m-00001-of-00002.gguf": a}})).unwrap();
        assert_eq!(asked.recipe.from, [Base::Blob(a), Base::Blob(b)]);
        let files = json!({"model.safetensors": a, "config.json": b, "mmproj.gguf": c});
        let asked = of(json!({ "files": files })).unwrap();
        let parts = vec![
            ("config.json".to_owned(), b),
            ("model.safetensors".to_owned(), a),
        ];
        assert_eq!(asked.recipe.from, [Base::Directory(parts), Base::Blob(c)]);
        let asked =
            of(json!({"from": "x", "adapters": {"lora.gguf": a}, "draft_files": {"d.gguf": b}}))
                .unwrap();
        assert_eq!(
            (asked.recipe.adapter, asked.recipe.draft),
            (Some(Base::Blob(a)), Some(Base::Blob(b)))
        );
    }

    #[test]
    fn refusals_in_ollamas_words() {
        let a = digest("a");
        for (body, field, text) in [
            (json!({"model": ""}), "model", "invalid model name"),
            (json!({}), "from", "neither 'from' or 'files' was specified"),
            (
                json!({"files": {}}),
                "from",
                "neither 'from' or 'files' was specified",
            ),
            (json!({"from": "a b"}), "from", "invalid model name"),
            (
                json!({"files": {"/x.gguf": a}}),
                "files./x.gguf",
                "file path must be relative",
            ),
            (
                json!({"files": {"a/../x.gguf": a}}),
                "files.a/../x.gguf",
                "file path must be relative",
            ),
            (
                json!({"files": {"x.gguf": ""}}),
                "files.x.gguf",
                "invalid digest format",
            ),
            (
                json!({"files": {"x.gguf": 1}}),
                "files.x.gguf",
                "invalid digest format",
            ),
            (
                json!({"from": "a", "adapters": {"a.gguf": a, "b.gguf": a}}),
                "adapters",
                "only one adapter is currently supported",
            ),
            (
                json!({"from": "a", "parameters": {"top_k": "x"}}),
                "parameters.top_k",
                "option \"top_k\" must be of type integer",
            ),
            (
                json!({"from": "a", "messages": [{"role": "x"}]}),
                "messages[0].role",
                "messages[0].role must be one of \"system\", \"user\", or \"assistant\"",
            ),
            (
                json!({"from": "a", "remote_host": "h"}),
                "remote_host",
                "remote_host names a hosted model: hearth runs models on this machine only",
            ),
        ] {
            assert_eq!(of(body).unwrap_err(), Failure::invalid(field, text));
        }
    }
}
