//! The HTTP side: `/livez`, `/readyz`, `/metrics`. A router of its own, so that it can listen apart later.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use conclave_machine::Machine;
use conclave_raft::Consistency;

use crate::edge::Edge;
use crate::listener::ConnectionCount;
use crate::metrics::append_apply_times;

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Http {
    edge: Edge,
    connections: ConnectionCount,
}

pub(crate) fn routes(edge: Edge, connections: ConnectionCount) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Http { edge, connections })
}

/// The process runs and answers. One whose Raft core died ends by itself.
async fn livez() -> &'static str {
    "ok\n"
}

/// Calls that reach this node can be answered: it has caught up with what it knew, it hears a leader, it does not stop.
async fn readyz(State(http): State<Http>) -> Response {
    let status = http.edge.node().status();
    let why = if http.edge.is_stopping() {
        "stopping\n"
    } else if status.leader.is_none() {
        "no leader is known\n"
    } else if !Edge::hears_leader(&status) {
        "the leader is not heard\n"
    } else if !status.ready {
        "not recovered yet\n"
    } else {
        return "ok\n".into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

async fn metrics(State(http): State<Http>) -> Response {
    let Http { edge, connections } = http;
    let Ok(counts) = edge.read(Consistency::Stale, Machine::counts).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    };
    let status = edge.node().status();
    let leading = edge.leadership().leading;
    let clock = edge.node().deadlines().counters();
    let mut text = edge.metrics().render(&status, leading, counts.value, clock, connections.get());
    append_apply_times(&mut text, edge.node().apply_times());
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
