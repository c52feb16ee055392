//! The service itself: the same on every host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};

use crate::work::crunch;
use dis_runtime::metrics;

/// The periodic job's period.
pub const PERIOD: Duration = Duration::from_millis(10);
/// Between two turns of maintenance.
pub const NIGHT: Duration = Duration::from_millis(500);

/// What the parts of the service share.
#[derive(Debug, Default)]
pub struct Shared {
    pub rounds: u64,
    light: AtomicU64,
    heavy: AtomicU64,
    /// Turns of the periodic job; how many of them began late, or never; how late the latest one, µs.
    beats: AtomicU64,
    late: AtomicU64,
    skipped: AtomicU64,
    latest_us: AtomicU64,
    maintained: AtomicU64,
}

pub type App = Arc<Shared>;

pub fn new(rounds: u64) -> App {
    Arc::new(Shared { rounds, ..Shared::default() })
}

async fn light(State(app): State<App>) -> String {
    let n = app.light.fetch_add(1, Ordering::Relaxed);
    format!("{{\"request\":{n}}}\n")
}

/// Computes, and does not yield.
fn heavy(app: &Shared) -> String {
    let answer = crunch(app.rounds);
    app.heavy.fetch_add(1, Ordering::Relaxed);
    format!("{{\"answer\":{answer}}}\n")
}

/// The heavy endpoint as one would write it.
pub fn heavy_as_written() -> MethodRouter<App> {
    get(|State(app): State<App>| async move { heavy(&app) })
}

/// The heavy endpoint as tokio's documentation advises.
pub fn heavy_on_blocking_pool() -> MethodRouter<App> {
    get(|State(app): State<App>| async move {
        tokio::task::spawn_blocking(move || heavy(&app)).await.unwrap_or_else(|error| error.to_string())
    })
}

/// The whole router; the heavy endpoint is the caller's.
pub fn router(app: App, heavy: MethodRouter<App>) -> Router {
    Router::new().route("/light", get(light)).route("/heavy", heavy).route("/metrics", get(metrics)).with_state(app)
}

/// One turn of the periodic job, which began so long after it was due; so many before it were skipped.
pub fn beat(app: &Shared, late: Duration, skipped: u64) {
    let late_us = late.as_micros() as u64;
    app.beats.fetch_add(1, Ordering::Relaxed);
    app.skipped.fetch_add(skipped, Ordering::Relaxed);
    app.latest_us.fetch_max(late_us, Ordering::Relaxed);
    if late >= PERIOD {
        app.late.fetch_add(1, Ordering::Relaxed);
    }
    // As if it gathered something.
    std::hint::black_box(crunch(app.rounds / 500));
}

/// One turn of maintenance: ten times what a heavy request computes.
pub fn maintain(app: &Shared) {
    std::hint::black_box(crunch(app.rounds * 10));
    app.maintained.fetch_add(1, Ordering::Relaxed);
}

/// Counters in Prometheus's text format: on DIS the runtime's, and everywhere the service's own.
async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let mut text = metrics::here().unwrap_or_default();
    for (name, help, value) in [
        ("light_requests_total", "Light requests.", &app.light),
        ("heavy_requests_total", "Heavy requests.", &app.heavy),
        ("beats_total", "Turns of the periodic job.", &app.beats),
        ("beats_late_total", "Turns that began a period or more after they were due.", &app.late),
        ("beats_skipped_total", "Turns left out, as the one before them was late.", &app.skipped),
        ("maintenance_total", "Turns of maintenance.", &app.maintained),
    ] {
        text.counter(name, help).sample(&[], value.load(Ordering::Relaxed));
    }
    let latest = Duration::from_micros(app.latest_us.load(Ordering::Relaxed));
    text.gauge("beat_latest_seconds", "How late the latest turn began.").sample(&[], latest);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text.finish())
}
