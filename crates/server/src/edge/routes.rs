//! The routes that belong to no dialect: what the server measures and counts.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Deserialize;

use super::caller::Caller;
use super::context::RequestId;
use super::keys::Scope;
use super::refusal::{Kind, Refusal, Refused, Style};
use crate::metrics::{self, Metrics};
use crate::usage::{DAYS_KEPT, Usage};

/// `GET /metrics`, the server's own and those under llama-server's names, and `GET /api/usage?days=N`, which needs
/// `manage`.
pub fn routes(metrics: Arc<Metrics>, usage: Option<Arc<Usage>>) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics).with_state(metrics))
        .route("/api/usage", get(show_usage).with_state(usage))
}

async fn show_metrics(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render())
}

#[derive(Deserialize)]
struct Days {
    days: Option<String>,
}

async fn show_usage(
    State(usage): State<Option<Arc<Usage>>>,
    caller: Caller,
    style: Style,
    id: RequestId,
    Query(query): Query<Days>,
) -> Result<impl IntoResponse, Refused> {
    let report = || {
        caller.need(Scope::Manage)?;
        let days = match query.days.as_deref() {
            None => 30,
            Some(text) => text
                .parse()
                .ok()
                .filter(|days| (1..=DAYS_KEPT).contains(days))
                .ok_or_else(|| {
                    Refusal::invalid(
                        "days",
                        format!("days is '{text}': expected a number from 1 to {DAYS_KEPT}"),
                    )
                })?,
        };
        let usage =
            usage.ok_or_else(|| Refusal::new(Kind::NotSupported, "this server keeps no usage"))?;
        Ok(axum::Json(usage.report(days)))
    };
    report().map_err(|refusal| Refused {
        style,
        request_id: Some(id.0.to_string()),
        refusal,
    })
}
