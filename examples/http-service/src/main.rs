//! One HTTP service, on DIS or on tokio: a light endpoint, a heavy one that computes for 50 ms and never yields, a periodic job and
//! background maintenance. `docs/services.md` walks through it; `compare.py` measures it.

mod app;
mod on_dis;
mod on_tokio;
mod work;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Host {
    /// DIS: each part of the service declares what it is for.
    Dis,
    /// tokio's multi-threaded runtime, the same handlers as written.
    Tokio,
    /// tokio's multi-threaded runtime, heavy work moved to `spawn_blocking`.
    TokioBlocking,
}

/// How the thread that waits for packets on DIS gets a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reactor {
    /// Workers that compute look every now and then whether it waits.
    LetThrough,
    /// By SCHED_FIFO, where that is permitted.
    Fifo,
    /// As any thread.
    Plain,
}

/// An HTTP service whose light requests must stay fast beside heavy ones.
#[derive(Parser, Debug)]
#[command(after_help = "Examples:\n  http-service --on dis\n  http-service --on tokio --listen 127.0.0.1:8081\n  \
                        curl http://127.0.0.1:8080/light   /heavy   /metrics")]
struct Args {
    /// What runs the service.
    #[arg(long, value_enum, default_value = "dis")]
    on: Host,
    /// On DIS: how the thread that waits for packets gets a CPU.
    #[arg(long, value_enum, default_value = "let-through")]
    reactor: Reactor,
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Worker threads [default: one for each CPU].
    #[arg(long)]
    workers: Option<usize>,
    /// Rounds of computation in a heavy request [default: what takes 50 ms here].
    #[arg(long)]
    rounds: Option<u64>,
    /// Only prints how many rounds take 50 ms here.
    #[arg(long)]
    calibrate: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let rounds = args.rounds.unwrap_or_else(work::calibrate);
    if args.calibrate {
        println!("{rounds}");
        return ExitCode::SUCCESS;
    }
    let workers = args.workers.or_else(|| std::thread::available_parallelism().map(Into::into).ok()).unwrap_or(1);
    let done = match args.on {
        Host::Dis => on_dis::serve(args.listen, workers, rounds, args.reactor),
        Host::Tokio => on_tokio::serve(args.listen, workers, rounds, false),
        Host::TokioBlocking => on_tokio::serve(args.listen, workers, rounds, true),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http-service: {error}");
            ExitCode::FAILURE
        }
    }
}
