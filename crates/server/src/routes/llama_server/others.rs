//! Other dialects' routes of a server that is asked as llama-server: a model need not be named, and what is wrong is told
//! in llama-server's words.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{
    super::{
        App, Asker,
        answer::{Stream, answer, answer_all},
        anthropic::Messages,
        openai::{Completions, Responding, read_response},
        stamp,
    },
    Served, name_model,
    native::Native,
    refuse, told,
};
use crate::{
    core::{Failure, Request},
    dialects::{
        anthropic,
        llama_server::{self, Standing, chat, completion, verbose::Verbose},
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
        let standing = &name_model(&app, &asker, &mut body).await?.standing;
        let verbose = verbose(standing, &mut body)?;
        let (theirs, native) = completion::split(body);
        let mut asked = plain::request(theirs)?;
        let requests = asked.requests.iter_mut().chain([&mut asked.asked.request]);
        let notes = completion::extend(&native, standing, requests)?;
        asked.asked.notes.extend(notes);
        Ok((asked, verbose))
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
fn verbose(standing: &Standing, body: &mut Body) -> Result<Option<Verbose>, Failure> {
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
        let served = name_model(&app, &asker, &mut body).await?;
        let mut asked = read_response(&app, &owner, body, &stamp).await?;
        stand(served, asked.asked.stream, &mut asked.asked.request)?;
        Ok(asked)
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
        let served = name_model(&app, &asker, &mut body).await?;
        let mut asked = read_response(&app, &asker.owner(), body, &stamp()).await?;
        stand(served, false, &mut asked.asked.request)?;
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
        let served = name_model(&app, &asker, &mut body).await?;
        let mut asked = anthropic::request(body)?;
        stand(served, asked.stream, &mut asked.request)?;
        Ok(asked)
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
        let served = name_model(&app, &asker, &mut body).await?;
        let mut asked = anthropic::count(body)?;
        stand(served, false, &mut asked.request)?;
        let (prepared, _) = app.service.render(asked.request).await?;
        Ok(anthropic::counted(prepared.ids.len()))
    };
    told(counted.await)
}

/// What stands, where a request says nothing.
fn stand(served: &Served, stream: bool, request: &mut Request) -> Result<(), Failure> {
    chat::stand(&served.standing, &served.chats, stream, request)
}

fn events(app: &App) -> Stream {
    Stream::EventsEvery(app.llama.usual.standing.ping)
}
