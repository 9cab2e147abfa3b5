//! Other dialects' routes of a server that is asked as llama-server: a model need not be named, and what is wrong is told
//! in llama-server's words.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{
    super::{
        App, Asker,
        answer::{Stream, answer, answer_all},
        anthropic::{Messages, count},
        openai::{Completions, Responding, read_response},
        stamp,
    },
    name_model,
    native::Native,
    refuse, told,
};
use crate::{
    core::Failure,
    dialects::{
        anthropic,
        llama_server::{self, verbose::Verbose},
        openai::{self, completions as plain, responses as dialect},
    },
    edge::Json,
};

type Body = Map<String, Value>;

/// OpenAI's completions.
pub(super) async fn completions(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Body>,
) -> Response {
    let read = async {
        name_model(&app, &asker, &mut body).await?;
        let verbose = verbose(&app, &mut body)?;
        Ok((plain::request(body)?, verbose))
    };
    let (asked, verbose) = match read.await {
        Ok(read) => read,
        Err(failure) => return refuse(&failure),
    };
    let inner = Completions(plain::Frames::new(&asked, stamp()));
    let telling = Native::new(inner, verbose);
    let stream = asked.asked.stream.then(|| events(&app));
    answer_all(&app, &asker, asked.requests, stream, telling).await
}

/// What tells the native answer, which is of the same body read as a native one.
fn verbose(app: &App, body: &mut Body) -> Result<Option<Verbose>, Failure> {
    let standing = &app.llama.standing;
    let asked = match body.shift_remove("verbose") {
        None | Some(Value::Null) => standing.verbose,
        Some(Value::Bool(asked)) => asked,
        Some(other) => {
            return Err(crate::dialects::fields::wrong(
                "verbose",
                "true or false",
                &other,
            ));
        }
    };
    if !asked {
        return Ok(None);
    }
    let mut style = llama_server::completion(body.clone(), standing)?.style;
    style.verbose = true;
    Ok(Verbose::of(&style))
}

/// OpenAI's responses.
pub(super) async fn responses(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Body>,
) -> Response {
    let (owner, stamp) = (asker.owner(), stamp());
    let read = async {
        name_model(&app, &asker, &mut body).await?;
        read_response(&app, &owner, body, &stamp).await
    };
    let asked = match read.await {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    let inner = Responding {
        frames: dialect::Frames::new(&asked, stamp),
        owner,
        desk: Arc::clone(&app.desk),
    };
    let stream = asked.asked.stream.then(|| events(&app));
    let telling = Native::new(inner, None);
    answer(&app, &asker, asked.asked.request, stream, telling).await
}

/// How many tokens the prompt of a response has.
pub(super) async fn response_tokens(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Body>,
) -> Response {
    let counted = async {
        name_model(&app, &asker, &mut body).await?;
        let asked = read_response(&app, &asker.owner(), body, &stamp()).await?;
        let (prepared, _) = app.service.render(asked.asked.request).await?;
        Ok(openai::responses::input_tokens(prepared.ids.len()))
    };
    told(counted.await)
}

/// Anthropic's messages.
pub(super) async fn messages(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Body>,
) -> Response {
    let read = async {
        name_model(&app, &asker, &mut body).await?;
        anthropic::request(body)
    };
    let asked = match read.await {
        Ok(asked) => asked,
        Err(failure) => return refuse(&failure),
    };
    let stream = asked.stream.then(|| events(&app));
    let (request, inner) = Messages::of(asked);
    answer(&app, &asker, request, stream, Native::named(inner)).await
}

/// How many tokens the prompt of a message has.
pub(super) async fn message_tokens(
    State(app): State<App>,
    asker: Asker,
    Json(mut body): Json<Body>,
) -> Response {
    let counted = async {
        name_model(&app, &asker, &mut body).await?;
        Ok(anthropic::counted(count(&app, body).await?))
    };
    told(counted.await)
}

fn events(app: &App) -> Stream {
    Stream::EventsEvery(app.llama.standing.ping)
}
