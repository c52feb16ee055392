//! Libraries of tokio's ecosystem, unchanged, on a DIS runtime whose workers are all held by futures that never yield.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::uri::PathAndQuery;
use axum::routing::{get, post};
use bytes::{Buf, BufMut};
use dis_runtime::future::{self, Spawner};
use dis_runtime::{Intent, Runtime};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use tokio::net::TcpListener;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::{Channel, Endpoint};

fn light() -> Intent {
    Intent::interactive(1_000)
}

/// Runs `work` beside hogs, two for each worker, that go on until it has ended.
fn beside_hogs<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let rt = Runtime::builder().workers(2).tokio().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let hog = |stop: Arc<AtomicBool>| async move { while !stop.load(Ordering::Relaxed) {} };
    let hogs: Vec<_> = (0..4).map(|_| rt.spawn(Intent::batch(), hog(stop.clone())).unwrap()).collect();
    let outcome = rt.spawn(light(), work).unwrap().join();
    assert!(hogs.iter().all(|hog| !hog.is_finished()), "the hogs were there all the time");
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    outcome.unwrap()
}

/// Serves a router with HTTP/1 and HTTP/2. What hyper spawns for streams goes by way of the `Spawner`.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(router.clone());
            let connection = async move {
                let builder = auto::Builder::new(Spawner::new(light()));
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            };
            drop(future::spawn(light(), connection).unwrap());
        }
    };
    drop(future::spawn(light(), accept).unwrap());
    addr
}

/// Where code runs: as a future of DIS, or on a thread of tokio's.
fn place() -> &'static str {
    if future::current().is_some() { "dis" } else { "elsewhere" }
}

async fn computes() -> String {
    // A task of its own, of another class than its connection.
    let answer = future::spawn(Intent::batch(), async { (1..=20u64).product::<u64>() }).unwrap().await.unwrap();
    format!("{answer} {}", place())
}

#[test]
fn axum_hyper_and_reqwest_with_both_versions_of_http() {
    let answers = beside_hogs(async {
        let addr = serve(Router::new().route("/", get(computes))).await;
        let mut answers = Vec::new();
        for http2 in [false, true] {
            let builder = reqwest::Client::builder();
            let client = if http2 { builder.http2_prior_knowledge() } else { builder }.build().unwrap();
            let ask = |client: reqwest::Client| async move {
                let answer = client.get(format!("http://{addr}/")).send().await.unwrap();
                (answer.version(), answer.text().await.unwrap(), place())
            };
            let tasks: Vec<_> = (0..8).map(|_| future::spawn(light(), ask(client.clone())).unwrap()).collect();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
        }
        answers
    });
    for (n, (version, body, client)) in answers.into_iter().enumerate() {
        let wanted = if n < 8 { reqwest::Version::HTTP_11 } else { reqwest::Version::HTTP_2 };
        assert_eq!((version, body.as_str(), client), (wanted, "2432902008176640000 dis", "dis"));
    }
}

/// The messages of the method below are text.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|_| Status::invalid_argument("no text"))
    }
}

/// Answers who asked, and where the answer was made.
struct Greeter;

impl UnaryService<String> for Greeter {
    type Response = String;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<String>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        Box::pin(async move { Ok(tonic::Response::new(format!("{} {}", request.into_inner(), place()))) })
    }
}

/// tonic's server is a service for hyper, so its streams are futures of DIS too.
#[test]
fn tonic_on_both_sides() {
    let answers = beside_hogs(async {
        let greet = async |request: axum::extract::Request| Grpc::new(Text).unary(Greeter, request).await;
        let addr = serve(Router::new().route("/test.Greeter/Greet", post(greet))).await;
        let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
        let ask = |channel: Channel, n: u32| async move {
            let mut client = tonic::client::Grpc::new(channel);
            client.ready().await.unwrap();
            let path = PathAndQuery::from_static("/test.Greeter/Greet");
            client.unary(tonic::Request::new(format!("caller {n}")), path, Text).await.unwrap().into_inner()
        };
        let tasks: Vec<_> = (0..8).map(|n| future::spawn(light(), ask(channel.clone(), n)).unwrap()).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        answers
    });
    let wanted: Vec<_> = (0..8).map(|n| format!("caller {n} dis")).collect();
    assert_eq!(answers, wanted);
}

/// sqlx's pool, whose time-outs are tokio's; SQLite itself has a thread for each connection.
#[test]
fn sqlx_with_its_pool() {
    let sums = beside_hogs(async {
        let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE numbers (number INTEGER)").execute(&pool).await.unwrap();
        let add = |pool: SqlitePool, n: i64| async move {
            sqlx::query("INSERT INTO numbers VALUES (?)").bind(n).execute(&pool).await.unwrap();
        };
        // More than there are connections: they wait for each other.
        let tasks: Vec<_> = (0..20).map(|n| future::spawn(light(), add(pool.clone(), n)).unwrap()).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut transaction = pool.begin().await.unwrap();
        let sum: i64 =
            sqlx::query_scalar("SELECT SUM(number) FROM numbers").fetch_one(&mut *transaction).await.unwrap();
        transaction.rollback().await.unwrap();
        sum
    });
    assert_eq!(sums, 190);
}
