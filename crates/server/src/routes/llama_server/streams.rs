//! Streams that can be gone on with: `/v1/stream` and `/v1/streams/lookup`.

use axum::{
    body::Body,
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use futures_util::stream::unfold;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{
        App, Asker,
        tapes::{Dropped, Name},
    },
    refuse, said, told,
};
use crate::{
    core::Failure,
    dialects::{Frame, llama_server::streams},
    edge::{Json, Sse, replay},
};

/// What stands behind the `?`.
#[derive(Deserialize)]
pub(super) struct Asked {
    conv_id: Option<String>,
    from: Option<String>,
}

impl Asked {
    fn name(&self, asker: &Asker) -> Result<Name, Failure> {
        let id = self.conv_id.as_deref().unwrap_or_default();
        Ok(Name {
            owner: asker.owner(),
            conversation: streams::conversation("conv_id", id.as_bytes())?,
        })
    }
}

/// What a stream said from a byte on, and what it says from now on.
pub(super) async fn play(
    State(app): State<App>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Response {
    let read = || Ok((asked.name(&asker)?, streams::from(asked.from.as_deref())?));
    let (name, from) = match read() {
        Ok(read) => read,
        Err(failure) => return refuse(&failure),
    };
    let player = match app.tapes.play(name, from) {
        Ok(Some(player)) => player,
        Ok(None) => return said(streams::unknown()),
        Err(Dropped) => return said(streams::dropped()),
    };
    replay(unfold(Some(player), |player| async {
        let mut player = player?;
        match player.next().await? {
            Ok(bytes) => Some((bytes, Some(player))),
            // The client reads too slowly; it has to know that something is missing.
            Err(Dropped) => {
                let frame = Sse::of(&Frame::json(&streams::dropped().1));
                Some((frame.into(), None))
            }
        }
    }))
}

pub(super) async fn look_up(
    State(app): State<App>,
    asker: Asker,
    Json(body): Json<Map<String, Value>>,
) -> Response {
    let found = streams::lookup(body).map(|ids| {
        let wanted = |conversation: &str| ids.iter().any(|id| streams::means(id, conversation));
        streams::looked_up(&app.tapes.look_up(&asker.owner(), wanted))
    });
    told(found)
}

/// Stops a stream, if there is one.
pub(super) async fn stop(
    State(app): State<App>,
    asker: Asker,
    Query(asked): Query<Asked>,
) -> Response {
    match asked.name(&asker) {
        Ok(name) => {
            app.tapes.remove(&name);
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Err(failure) => refuse(&failure),
    }
}
