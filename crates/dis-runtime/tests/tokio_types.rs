//! tokio's types in futures of a DIS runtime, and adapters for libraries that spawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_runtime::{Builder, Intent, Runtime, future};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn builder() -> Builder {
    Runtime::builder().workers(2)
}

/// Answers what it is sent, until the other side closes.
async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

async fn echo_server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(future::spawn(Intent::interactive(1_000), echo(stream)).unwrap());
        }
    };
    drop(future::spawn(Intent::interactive(1_000), accept).unwrap());
    addr
}

async fn talk(addr: std::net::SocketAddr, n: u32) -> u32 {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for i in 0..n {
        stream.write_all(&i.to_le_bytes()).await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(u32::from_le_bytes(answer), i);
    }
    n
}

/// Ordinary tasks and one with a task of its own (a share reserved) use sockets, and so does `block_on`.
#[test]
fn sockets() {
    let rt = builder().tokio().build().unwrap();
    let total = rt.block_on(async {
        let addr = echo_server().await;
        let mut reserved = Intent::batch();
        reserved.qos.cpu_min = 10;
        let own = future::spawn(reserved, talk(addr, 100)).unwrap();
        let tasks: Vec<_> = (0..20).map(|_| future::spawn(Intent::batch(), talk(addr, 50)).unwrap()).collect();
        let mut total = talk(addr, 10).await + own.await.unwrap();
        for task in tasks {
            total += task.await.unwrap();
        }
        total
    });
    assert_eq!(total, 1_110);
    // In a closure task.
    let in_task = rt.spawn_fn(Intent::batch(), || future::block_on(async { talk(echo_server().await, 10).await }));
    assert_eq!(in_task.unwrap().join().unwrap(), 10);
    assert!(rt.shutdown(Duration::from_secs(10)));
}

/// Timers and sockets are served while every worker is held by futures that never yield.
#[test]
fn hogs_do_not_hold_up_io_and_time() {
    let rt = builder().tokio().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            let hog = async move { while !stop.load(Ordering::Relaxed) {} };
            rt.spawn(Intent::batch(), hog).unwrap()
        })
        .collect();
    let served = rt.spawn(Intent::interactive(1_000), async {
        let addr = echo_server().await;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            talk(addr, 5).await;
        }
    });
    served.unwrap().join().unwrap();
    assert!(hogs.iter().all(|hog| !hog.is_finished()), "the hogs should have been running all the time");
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
}

/// Without a reactor, tokio's types say what is missing.
#[test]
fn without_a_reactor_tokio_panics() {
    let rt = builder().build().unwrap();
    let connect = rt.spawn(Intent::batch(), async { TcpStream::connect("127.0.0.1:1").await.is_ok() });
    assert!(connect.unwrap().join().unwrap_err().is_panic());
}

/// A tokio runtime of the caller's serves as well; tasks that are spawned by `tokio::spawn` are its own.
#[test]
fn a_foreign_tokio_runtime() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rt = builder().tokio_handle(tokio.handle().clone()).build().unwrap();
    let here = rt.block_on(async {
        let addr = echo_server().await;
        let theirs = tokio::spawn(async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(talk(addr, 10).await, 10);
        theirs.await.unwrap()
    });
    assert!(here.is_some_and(|name| name.starts_with("tokio")));
    assert!(rt.shutdown(Duration::from_secs(10)));
}

/// tokio's channels and locks need no reactor.
#[test]
fn channels_need_no_reactor() {
    let rt = builder().build().unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    let send = rt.spawn(Intent::interactive(1_000), async move {
        for i in 0..1_000u64 {
            tx.send(i).await.unwrap();
        }
    });
    let sum = rt.spawn(Intent::batch(), async move {
        let mut sum = 0;
        while let Some(i) = rx.recv().await {
            sum += i;
        }
        sum
    });
    send.unwrap().join().unwrap();
    assert_eq!(sum.unwrap().join().unwrap(), 499_500);
}

/// What an executor is given runs as a future of the runtime, and is refused outside.
#[cfg(feature = "futures")]
#[test]
fn a_spawner_is_a_futures_spawn() {
    use dis_runtime::future::Spawner;
    use futures_task::{FutureObj, Spawn};
    let spawner = Spawner::new(Intent::background());
    let task = || FutureObj::new(Box::new(async {}));
    assert!(spawner.spawn_obj(task()).unwrap_err().is_shutdown());
    let rt = builder().build().unwrap();
    let (tx, rx) = std::sync::mpsc::channel();
    rt.block_on(async {
        let told = async move { tx.send(future::current().is_some()).unwrap() };
        spawner.spawn_obj(FutureObj::new(Box::new(told))).unwrap();
    });
    assert!(rx.recv().unwrap());
}

/// The reactor's thread ends with the runtime, also when it holds the last wakers.
#[test]
fn the_reactor_ends_with_the_runtime() {
    let alive = || std::fs::read_dir("/proc/self/task").unwrap().filter(|task| comm(task).starts_with("ends-")).count();
    fn comm(task: &std::io::Result<std::fs::DirEntry>) -> String {
        std::fs::read_to_string(task.as_ref().unwrap().path().join("comm")).unwrap_or_default()
    }
    let rt = builder().name("ends").tokio().build().unwrap();
    for _ in 0..10 {
        drop(rt.spawn(Intent::batch(), tokio_sleep()).unwrap());
    }
    assert!(alive() > 0);
    drop(rt);
    let begun = Instant::now();
    while alive() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "threads are left");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn tokio_sleep() {
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}

/// Names of this process's threads.
fn threads() -> Vec<String> {
    let names = std::fs::read_dir("/proc/self/task").unwrap();
    names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

#[test]
fn a_handle_keeps_no_reactor_alive() {
    let rt = builder().name("kept").tokio().build().unwrap();
    let task = rt.spawn(Intent::batch(), async { tokio::time::sleep(Duration::from_secs(100)).await }).unwrap();
    let abort = task.abort_handle();
    assert!(threads().iter().any(|name| name.trim() == "kept-tokio"));
    assert!(rt.shutdown(Duration::from_secs(30)));
    let begun = Instant::now();
    while threads().iter().any(|name| name.starts_with("kept")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", threads());
        std::thread::sleep(Duration::from_millis(1));
    }
    abort.abort();
    assert!(task.join().unwrap_err().is_cancelled());
}
