//! One content on its way to a registry.

use std::{io::Read as _, path::Path, time::Duration};

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION},
};

use crate::{
    Error, Event, Layer, Result, Store, Verb, Watch,
    http::{Answer, Call, Session, shown},
    transfer::plan::PIECE,
};

/// Bytes per second; who sends slower than this is given up.
const SLOWEST_UPLOAD: u64 = 16 << 10;
/// Bytes per second at which a registry is expected to compute the digest of what it got.
const SLOWEST_DIGEST: u64 = 10 << 20;

/// A minute, and what so many bytes take.
fn time_for(bytes: u64, per_second: u64) -> Duration {
    Duration::from_secs(60 + bytes / per_second)
}

/// Sends a content unless the registry has it. `mount` is a repository of the same registry that may have it.
pub(crate) async fn upload(
    store: &Store,
    session: &Session,
    repository: &str,
    layer: &Layer,
    file: &Path,
    mount: Option<&str>,
    watch: Watch<'_>,
) -> Result<()> {
    let say = |completed| {
        watch(Event::Content {
            verb: Verb::Push,
            digest: layer.digest,
            total: layer.size,
            completed,
        });
    };
    let there = session.url(&format!("/v2/{repository}/blobs/{}", layer.digest))?;
    if session
        .ask(|| Call::new(Method::HEAD, there.clone()))
        .await?
        .status()
        .is_success()
    {
        say(layer.size);
        return Ok(());
    }
    let Some(mut place) = begin(session, repository, layer, mount).await? else {
        say(layer.size);
        return Ok(());
    };
    let mut reader = store.disk().open(file)?;
    let mut sent = 0;
    while sent < layer.size {
        say(sent);
        let length = (layer.size - sent).min(PIECE);
        let mut bytes = Vec::new();
        store.disk().run(file, || {
            reader.by_ref().take(length).read_to_end(&mut bytes)
        })?;
        if bytes.len() as u64 != length {
            return Err(Error::invalid(
                file.display().to_string(),
                "became shorter while it was sent",
            ));
        }
        place = patch(session, &place, &bytes, sent).await?;
        sent += length;
    }
    let mut commit = place.clone();
    commit
        .query_pairs_mut()
        .append_pair("digest", &layer.digest.to_string());
    session
        .ask(|| {
            Call::new(Method::PUT, commit.clone())
                .header(CONTENT_LENGTH, "0")
                .patient(time_for(layer.size, SLOWEST_DIGEST))
        })
        .await?
        .success()
        .await?;
    say(layer.size);
    Ok(())
}

/// Where to send the content; nothing if the registry took it from `mount`.
async fn begin(
    session: &Session,
    repository: &str,
    layer: &Layer,
    mount: Option<&str>,
) -> Result<Option<Url>> {
    let mut url = session.url(&format!("/v2/{repository}/blobs/uploads/"))?;
    if let Some(from) = mount {
        url.query_pairs_mut()
            .append_pair("mount", &layer.digest.to_string())
            .append_pair("from", from);
    }
    let answer = session
        .ask(|| Call::new(Method::POST, url.clone()).header(CONTENT_LENGTH, "0"))
        .await?
        .success()
        .await?;
    if answer.status() == StatusCode::CREATED {
        return Ok(None);
    }
    next_place(session, &answer)?
        .map(Some)
        .ok_or_else(|| Error::Refused {
            url: shown(&answer.url),
            why: "the registry accepted the upload and named no place for it".to_owned(),
        })
}

/// Sends a piece; gives the place of the next one.
async fn patch(session: &Session, place: &Url, bytes: &[u8], start: u64) -> Result<Url> {
    let timing = session.client.timing;
    let mut pause = timing.pause;
    let range = format!("{start}-{}", start + bytes.len() as u64 - 1);
    for attempt in 1.. {
        let make = || {
            Call::new(Method::PATCH, place.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_RANGE, &range)
                .patient(time_for(bytes.len() as u64, SLOWEST_UPLOAD))
        };
        match session.ask_with(make, Some(bytes)).await {
            Ok(answer) if answer.status().is_success() => {
                return Ok(next_place(session, &answer)?.unwrap_or_else(|| place.clone()));
            }
            Ok(answer) => {
                let error = answer.failure().await;
                if attempt >= timing.attempts
                    || !matches!(
                        error,
                        Error::Status {
                            status: 408 | 429 | 500..,
                            ..
                        }
                    )
                {
                    return Err(error);
                }
            }
            Err(error @ Error::Network { .. }) if attempt < timing.attempts => drop(error),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(place.clone())
}

/// The place that an answer names, on the same registry.
fn next_place(session: &Session, answer: &Answer) -> Result<Option<Url>> {
    let named = answer
        .header("docker-upload-location")
        .or_else(|| answer.header(LOCATION));
    let Some(named) = named else { return Ok(None) };
    let refused = |why: String| Error::Refused {
        url: shown(&answer.url),
        why,
    };
    let url = answer
        .url
        .join(named)
        .map_err(|error| refused(format!("an upload to no address: {error}")))?;
    match (session.base.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(url)),
        (from, to) => Err(refused(format!("an upload from {from} to {to}"))),
    }
}
