//! The service on DIS: the same handlers, and what each part is for.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use dis_runtime::{Intent, Limits, Runtime, future};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::Reactor;
use crate::app::{self, App, NIGHT, PERIOD};

type Failure = Box<dyn std::error::Error>;

/// Connections, and with them light requests: they should begin within a millisecond.
fn light() -> Intent {
    Intent::interactive(1_000)
}

/// Background keeps its share of 1 %, in turns that are short beside the target of light requests, which wait for them: 0.3 ms
/// each 25 ms instead of 3 ms each 250.
fn limits() -> Limits {
    Limits {
        background_wait: dis_runtime::Duration::from_millis(25),
        background_turn: dis_runtime::Duration::from_micros(300),
        ..dis_runtime::default_limits()
    }
}

/// Serves until Ctrl-C.
pub fn serve(listen: SocketAddr, workers: usize, rounds: u64, reactor: Reactor) -> Result<(), Failure> {
    let rt = Runtime::builder().workers(workers).measure_waits(true).limits(limits());
    let rt = match reactor {
        Reactor::LetThrough => rt.tokio(),
        Reactor::Fifo => rt.tokio_fifo(2),
        Reactor::Plain => rt.tokio_look_every(Duration::ZERO),
    };
    let rt = rt.build()?;
    let app = app::new(rounds);

    // The periodic job is admitted: 1 ms in each 10, and its deadline holds.
    let telemetry = Intent::realtime(PERIOD.as_micros() as u64, PERIOD.as_micros() as u64, 1_000);
    let telemetry_app = app.clone();
    drop(rt.spawn_fn(telemetry, move || beats(&telemetry_app))?);
    drop(rt.spawn(Intent::background(), maintenance(app.clone()))?);

    // The heavy endpoint is Batch. Its handler is as it was.
    let heavy = app::heavy_as_written().layer(from_fn(as_batch));
    let router = app::router(app, heavy);
    rt.block_on(async move {
        let listener = TcpListener::bind(listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        let accept = future::spawn(light(), async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // Out of file descriptors, most likely.
                    future::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(router.clone());
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // Refused only while the runtime shuts down. A connection's errors are its peer's affair.
                drop(future::spawn(light(), async { drop(connection.await) }));
            }
        })?;
        tokio::signal::ctrl_c().await?;
        accept.abort();
        Ok(())
    })
}

/// Runs the rest of a request as a Batch task of its own.
async fn as_batch(request: Request, next: Next) -> Response {
    match future::spawn(Intent::batch(), next.run(request)) {
        Ok(task) => task.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

fn beats(app: &App) {
    // Turns that could only have been late are skipped: each counts from its own release.
    while let Ok(job) = dis_runtime::next_period() {
        app::beat(app, dis_runtime::now().since(job.release).into(), job.skipped);
    }
}

async fn maintenance(app: App) {
    loop {
        future::sleep(NIGHT).await;
        app::maintain(&app);
    }
}
