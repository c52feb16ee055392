//! The service on tokio's multi-threaded runtime.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

use crate::app::{self, App, NIGHT, PERIOD};

type Failure = Box<dyn std::error::Error>;

/// Serves until Ctrl-C. `blocking`: computation goes to `spawn_blocking`.
pub fn serve(listen: SocketAddr, workers: usize, rounds: u64, blocking: bool) -> Result<(), Failure> {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    rt.block_on(async {
        let app = app::new(rounds);
        tokio::spawn(beats(app.clone()));
        tokio::spawn(maintenance(app.clone(), blocking));
        let heavy = if blocking { app::heavy_on_blocking_pool() } else { app::heavy_as_written() };
        let listener = TcpListener::bind(listen).await?;
        println!("listening on http://{}", listener.local_addr()?);
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        // In a task, as handlers would be: the caller's thread is not one of the workers.
        let serve = tokio::spawn(axum::serve(listener, app::router(app, heavy)).into_future());
        tokio::select! {
            served = serve => Ok(served??),
            () = stop => Ok(()),
        }
    })
}

async fn beats(app: App) {
    let mut ticks = tokio::time::interval(PERIOD);
    // As on DIS: turns that were missed are not made up for, and each counts from when it was due.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = ticks.tick().await;
    loop {
        let due = ticks.tick().await;
        // The interval keeps to its grid.
        let periods = ((due - last).as_millis() / PERIOD.as_millis()) as u64;
        app::beat(&app, due.elapsed(), periods.saturating_sub(1));
        last = due;
    }
}

async fn maintenance(app: App, blocking: bool) {
    loop {
        tokio::time::sleep(NIGHT).await;
        if blocking {
            let app = app.clone();
            let _ = tokio::task::spawn_blocking(move || app::maintain(&app)).await;
        } else {
            app::maintain(&app);
        }
    }
}
