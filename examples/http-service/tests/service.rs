//! The service as a process: its light endpoint answers while heavy requests that do not end hold every worker, on DIS, and does not on
//! tokio as written.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// So long a heavy request goes on for hours.
const ENDLESS: &str = "1000000000000";

struct Service {
    child: Child,
    addr: SocketAddr,
}

impl Service {
    fn start(arguments: &[&str]) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_http-service"));
        command.args(["--listen", "127.0.0.1:0", "--workers", "2"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line}")).parse();
        Service { child, addr: addr.unwrap() }
    }

    fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.addr).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        stream
    }

    /// The body of the answer; `None` if there is none within `patience`.
    fn get(&self, path: &str, patience: Duration) -> Option<String> {
        let mut stream = self.ask(path);
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        Some(answer.split_once("\r\n\r\n").unwrap().1.into())
    }

    /// A counter of the service.
    fn counter(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics", LONG).expect("an answer");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Decides between slow and never.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn light_requests_are_answered_while_heavy_ones_hold_every_worker() {
    let service = Service::start(&["--on", "dis", "--rounds", ENDLESS]);
    let heavy: Vec<_> = (0..4).map(|_| service.ask("/heavy")).collect();
    for _ in 0..50 {
        assert!(service.get("/light", LONG).expect("an answer").starts_with("{\"request\":"));
    }
    assert_eq!((service.counter("light_requests_total"), service.counter("heavy_requests_total")), (50, 0));
    drop(heavy);
}

/// The same where nobody takes the CPU away: sooner or later no light request is answered any more.
#[test]
fn on_tokio_as_written_they_are_not() {
    let service = Service::start(&["--on", "tokio", "--rounds", ENDLESS]);
    let heavy: Vec<_> = (0..4).map(|_| service.ask("/heavy")).collect();
    let begun = Instant::now();
    while service.get("/light", Duration::from_secs(2)).is_some() {
        assert!(begun.elapsed() < LONG, "heavy requests do not hold the workers");
    }
    drop(heavy);
}

#[test]
fn every_part_of_the_service_has_its_turns_and_ctrl_c_ends_it() {
    let mut service = Service::start(&["--on", "dis", "--rounds", "100000"]);
    assert!(service.get("/heavy", LONG).expect("an answer").starts_with("{\"answer\":"));
    let begun = Instant::now();
    while service.counter("beats_total") < 20 || service.counter("maintenance_total") < 2 {
        assert!(begun.elapsed() < LONG, "no telemetry, or no maintenance");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(service.counter("heavy_requests_total"), 1);
    let interrupt = Command::new("kill").args(["-INT", &service.child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    assert!(service.child.wait().unwrap().success());
}
