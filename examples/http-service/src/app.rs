//! The service itself: the same on every host.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{MethodRouter, get};

use crate::work::crunch;

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
    /// Turns of the periodic job, and how late the latest of them began, µs.
    beats: AtomicU64,
    latest_us: AtomicU64,
    late: AtomicU64,
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

/// One turn of the periodic job, which began so late.
pub fn beat(app: &Shared, late: Duration) {
    let late_us = late.as_micros() as u64;
    app.beats.fetch_add(1, Ordering::Relaxed);
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

/// Counters in Prometheus's text format.
async fn metrics(State(app): State<App>) -> String {
    let mut text = String::new();
    for (name, what, value) in [
        ("light_requests_total", "Light requests.", &app.light),
        ("heavy_requests_total", "Heavy requests.", &app.heavy),
        ("beats_total", "Turns of the periodic job.", &app.beats),
        ("beats_late_total", "Turns that began a period or more late.", &app.late),
        ("maintenance_total", "Turns of maintenance.", &app.maintained),
    ] {
        let value = value.load(Ordering::Relaxed);
        let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} counter\n{name} {value}");
    }
    let worst = app.latest_us.load(Ordering::Relaxed);
    let _ =
        writeln!(text, "# HELP beat_latest_microseconds The worst lateness.\n# TYPE beat_latest_microseconds gauge");
    let _ = writeln!(text, "beat_latest_microseconds {worst}");
    text
}
