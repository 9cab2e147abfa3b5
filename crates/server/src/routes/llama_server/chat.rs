//! Chats of a server that is asked as llama-server: OpenAI's with the native fields, and native errors.

use axum::{extract::State, response::Response};
use serde_json::{Map, Value};

use super::{
    super::{
        App, Asker,
        answer::{Stream, Telling, answer},
        stamp,
    },
    name_model,
    native::Native,
    refuse,
    running::Entered,
    slots::Occupant,
    told,
};
use crate::{
    core::{Event, Failure},
    dialects::{
        Fields, Frame,
        llama_server::{self, Style, chat, verbose::Verbose},
        openai,
    },
    edge::Json,
};

/// A chat and how it is answered.
pub(super) struct Read {
    pub(super) asked: openai::chat::Asked,
    pub(super) style: Style,
}

/// Reads the body of a chat: OpenAI's dialect its own fields, llama-server's the others. A model need not be named.
///
/// # Errors
/// With the field that says what cannot be.
pub(super) async fn read(
    app: &App,
    asker: &Asker,
    mut body: Map<String, Value>,
) -> Result<Read, Failure> {
    let served = name_model(app, asker, &mut body).await?;
    let (theirs, native) = chat::split(body);
    let mut asked = openai::chat::request(theirs)?;
    let mut fields = Fields::new(native);
    let style = chat::extend(
        &mut fields,
        &served.standing,
        &served.chats,
        asked.stream,
        &mut asked.request,
        &mut asked.notes,
    )?;
    app.llama.places.check(style.slot)?;
    Ok(Read { asked, style })
}

struct Chat {
    frames: openai::chat::Frames,
    occupant: Occupant,
    /// For as long as its thoughts can be ended.
    _running: Option<Entered>,
}

impl Telling for Chat {
    fn frames(&mut self, _: usize, event: Event) -> Vec<Frame> {
        self.occupant.event(&event);
        self.frames.event(&event)
    }

    fn add(&mut self, _: usize, event: Event) {
        self.occupant.event(&event);
        self.frames.event(&event);
    }

    fn whole(self) -> Result<Value, Failure> {
        self.frames.whole()
    }

    fn error(failure: &Failure) -> (u16, Value) {
        llama_server::error(failure)
    }

    fn ignored(&self) -> &[String] {
        self.frames.ignored()
    }
}

pub(super) async fn completions(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let Read { mut asked, style } = match read(&app, &asker, body).await {
        Ok(read) => read,
        Err(failure) => return refuse(&failure),
    };
    asked.request.ids = true;
    let frames = openai::chat::Frames::new(&asked, stamp());
    let verbose = Verbose::of(&style);
    let chat = Chat {
        _running: app.enter(&asked.request, frames.id()),
        frames,
        occupant: Occupant::new(
            app.llama.places.clone(),
            style.slot,
            style.settings,
            asked.request.limits.max_tokens,
        ),
    };
    let stream = asked.stream.then_some(Stream::EventsEvery(style.ping));
    let telling = Native::new(chat, verbose);
    answer(&app, &asker, asked.request, stream, telling).await
}

/// How many tokens the prompt of a chat has.
pub(super) async fn input_tokens(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let counted = async {
        let Read { asked, .. } = read(&app, &asker, body).await?;
        let (prepared, _) = app.service.render(asked.request).await?;
        Ok(openai::responses::input_tokens(prepared.ids.len()))
    };
    told(counted.await)
}
