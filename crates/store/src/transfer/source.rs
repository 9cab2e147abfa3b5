//! Where the bytes of a content come from.

use reqwest::{
    Method, StatusCode, Url,
    header::{CONTENT_RANGE, RANGE},
};
use std::sync::Mutex;

use crate::{
    Error, Reach, Result,
    http::{Answer, Call, Session},
    transfer::journal::Piece,
};

/// A content at a server. What the server redirects to is remembered, and asked directly until it stops answering.
pub(crate) struct Source<'a> {
    session: &'a Session,
    url: Url,
    size: u64,
    direct: Mutex<Option<(Url, Reach)>>,
}

/// Bytes from a piece's first on: of the piece only, or of everything to the end.
pub(crate) struct Bytes {
    pub answer: Answer,
    pub to_the_end: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn new(session: &'a Session, url: Url, size: u64) -> Self {
        Self {
            session,
            url,
            size,
            direct: Mutex::new(None),
        }
    }

    pub(crate) fn session(&self) -> &'a Session {
        self.session
    }

    pub(crate) fn label(&self) -> String {
        crate::http::shown(&self.url)
    }

    /// Asks for a piece.
    pub(crate) async fn piece(&self, piece: Piece) -> Result<Bytes> {
        let range = format!("bytes={}-{}", piece.start, piece.end - 1);
        let direct = self.direct.lock().ok().and_then(|direct| direct.clone());
        let answer = match direct {
            Some((url, reach)) => {
                let mut call = Call::new(Method::GET, url).header(RANGE, &range);
                call.reach = reach;
                let answer = self.session.client.ask(call).await?;
                if !answer.status().is_success() {
                    // Signed addresses expire: the next attempt asks the registry for another one.
                    self.remember(None);
                }
                answer
            }
            None => {
                let answer = self
                    .session
                    .ask(|| Call::new(Method::GET, self.url.clone()).header(RANGE, &range))
                    .await?;
                if answer.elsewhere && answer.status().is_success() {
                    self.remember(Some((answer.url.clone(), answer.reach)));
                }
                answer
            }
        };
        let answer = answer.success().await?;
        let to_the_end = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                self.check_range(&answer, piece)?;
                false
            }
            _ => {
                self.check_whole(&answer)?;
                true
            }
        };
        Ok(Bytes { answer, to_the_end })
    }

    fn remember(&self, place: Option<(Url, Reach)>) {
        if let Ok(mut direct) = self.direct.lock() {
            *direct = place;
        }
    }

    fn check_range(&self, answer: &Answer, piece: Piece) -> Result<()> {
        let expected = format!("bytes {}-{}/{}", piece.start, piece.end - 1, self.size);
        let found = answer.header(CONTENT_RANGE).unwrap_or("no range");
        let unknown = expected
            .rsplit_once('/')
            .map(|(range, _)| format!("{range}/*"));
        if found == expected || Some(found) == unknown.as_deref() {
            return Ok(());
        }
        Err(self.mismatch(expected, found.to_owned()))
    }

    fn check_whole(&self, answer: &Answer) -> Result<()> {
        match answer.length() {
            Some(length) if length != self.size => {
                Err(self.mismatch(format!("{} bytes", self.size), format!("{length}")))
            }
            _ => Ok(()),
        }
    }

    fn mismatch(&self, expected: String, found: String) -> Error {
        Error::Mismatch {
            what: self.label(),
            expected,
            found: found.chars().take(100).collect(),
        }
    }
}
