//! A runtime that is observed and controlled by its socket.

#[path = "common/scratch.rs"]
mod scratch;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_control::protocol::{Class, Command, Kind, Reply, Stats, TaskRow};
use dis_control::{Client, ClientError};
use dis_runtime::{BuildError, Intent, JoinHandle, Runtime, sleep, yield_now};
use scratch::Scratch;

/// A runtime with a task that computes and one that sleeps.
struct Scene {
    path: PathBuf,
    _folder: Scratch,
    stop: Arc<AtomicBool>,
    hog: Option<JoinHandle<()>>,
    ui: Option<JoinHandle<()>>,
    rt: Runtime,
}

impl Scene {
    fn new() -> Scene {
        let folder = Scratch::new();
        let path = folder.join("control.sock");
        let rt = Runtime::builder().name("scene").workers(1).control_socket(&path).build().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let hog = rt.task(Intent::batch()).name("hog").spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                yield_now();
            }
        });
        let seen = Arc::clone(&stop);
        let ui = rt.task(Intent::interactive(2_000)).name("ui").spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(1));
            }
        });
        Scene { path, _folder: folder, stop, hog: Some(hog.unwrap()), ui: Some(ui.unwrap()), rt }
    }

    fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in [self.hog.take(), self.ui.take()].into_iter().flatten() {
            let _ = task.join();
        }
        let path = self.path.clone();
        assert!(path.exists());
        assert!(self.rt.shutdown(Duration::from_secs(10)));
        assert!(!path.exists(), "the socket goes with the runtime");
    }
}

fn task(client: &mut Client, name: &str) -> Option<TaskRow> {
    client.tasks().unwrap().into_iter().find(|task| task.name == name)
}

fn stats(client: &mut Client, watch: bool) -> Stats {
    let Reply::Stats(stats) = client.ask(&Command::Stats { watch }).unwrap() else { panic!() };
    *stats
}

fn kind(answer: Result<Reply, ClientError>) -> Kind {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tasks_and_counters_are_told() {
    let scene = Scene::new();
    let mut client = scene.client();
    let Reply::Hello(about) = client.ask(&Command::Hello).unwrap() else { panic!() };
    assert_eq!((about.pid, about.name.as_str()), (std::process::id(), "scene"));
    let rows = client.tasks().unwrap();
    assert_eq!(rows.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["hog", "ui"]);
    let hog = task(&mut client, "hog").unwrap();
    assert_eq!(
        (hog.id, hog.class.as_str(), hog.cpu),
        (scene.hog.as_ref().unwrap().id().0, "batch", scene.rt.cpus()[0])
    );
    assert!(hog.affinity.contains(&(scene.rt.cpus()[0] as u16)) && hog.latency.is_none());
    let before = stats(&mut client, false);
    assert_eq!((before.live, before.cpus.len(), before.cpus[0].classes.len()), (2, 1, 5));
    assert!(before.reasons.is_empty() && before.cpus[0].classes[3].ran_ns.is_none(), "nobody watches");
    scene.end();
}

#[test]
fn who_watches_sees_latencies_reasons_and_the_classes_times() {
    let scene = Scene::new();
    let mut client = scene.client();
    let before = stats(&mut client, true);
    let until = Instant::now() + Duration::from_secs(30);
    let latency = loop {
        let latency = task(&mut client, "ui").unwrap().latency.unwrap_or_default();
        if latency.count >= 20 {
            break latency;
        }
        assert!(Instant::now() < until, "no wake-up latencies: {latency:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(latency.p50 > 0 && latency.p50 <= latency.p95 && latency.p95 <= latency.p99 && latency.p99 <= latency.max);
    assert_eq!(task(&mut client, "hog").unwrap().latency.unwrap().count, 0, "it never waits");
    let after = stats(&mut client, true);
    assert!(after.reasons.iter().any(|(reason, count)| reason == "class order" && *count > 20), "{:?}", after.reasons);
    let ran: u64 = after.cpus[0].classes.iter().filter_map(|class| class.ran_ns).sum();
    let busy = after.cpus[0].busy_ns - before.cpus[0].busy_ns;
    assert!(ran > busy / 10 && ran <= busy + busy / 10, "recorded {ran} ns of {busy}");
    assert!(after.cpus[0].classes[3].ran_ns > after.cpus[0].classes[2].ran_ns, "the hog had more");
    scene.end();
}

#[test]
fn tasks_are_changed_and_ended() {
    let mut scene = Scene::new();
    let mut client = scene.client();
    let id = scene.hog.as_ref().unwrap().id().0;
    client.ask(&Command::Intent { task: id, class: Class::Background }).unwrap();
    client.ask(&Command::Priority { task: id, priority: 231 }).unwrap();
    let cpu = scene.rt.cpus()[0] as u16;
    client.ask(&Command::Affinity { task: id, cpus: vec![cpu] }).unwrap();
    let hog = task(&mut client, "hog").unwrap();
    assert_eq!((hog.class.as_str(), hog.priority, &hog.affinity[..]), ("background", 231, &[cpu][..]));
    // Another intent keeps the constraints.
    client.ask(&Command::Intent { task: id, class: Class::Batch }).unwrap();
    assert_eq!(task(&mut client, "hog").unwrap().affinity, [cpu]);
    let impossible = Class::Realtime { period_us: 1_000, deadline_us: 1_000, wcet_us: 999 };
    assert_eq!(kind(client.ask(&Command::Intent { task: id, class: impossible })), Kind::Refused, "not admitted");
    let invalid = Class::Interactive { latency_us: 0 };
    assert_eq!(kind(client.ask(&Command::Intent { task: id, class: invalid })), Kind::Refused);
    assert_eq!(kind(client.ask(&Command::Affinity { task: id, cpus: vec![] })), Kind::Refused);
    assert_eq!(kind(client.ask(&Command::Affinity { task: id, cpus: vec![9_999] })), Kind::Refused);
    assert_eq!(task(&mut client, "hog").unwrap().class, "batch");
    client.ask(&Command::Kill { task: id }).unwrap();
    assert!(scene.hog.take().unwrap().join().unwrap_err().is_cancelled());
    for command in [
        Command::Kill { task: id },
        Command::Priority { task: id, priority: 1 },
        Command::Affinity { task: id, cpus: vec![cpu] },
        Command::Intent { task: id, class: Class::Batch },
        Command::Kill { task: 0 },
        Command::Kill { task: u64::MAX },
    ] {
        assert_eq!(kind(client.ask(&command)), Kind::NotFound, "{command:?}");
    }
    scene.end();
}

#[test]
fn modules_are_listed_and_replaced() {
    let scene = Scene::new();
    let mut client = scene.client();
    let activate = |class: &str, name: &str| Command::Activate { class: class.into(), name: name.into() };
    client.ask(&activate("batch", "round-robin")).unwrap();
    let Reply::Modules { modules } = client.ask(&Command::Modules).unwrap() else { panic!() };
    let active = |name: &str| modules.iter().find(|module| module.name == name).unwrap().active.clone();
    assert_eq!((active("round-robin"), active("fair")), (vec!["batch".to_string()], vec!["background".to_string()]));
    assert_eq!(kind(client.ask(&activate("batch", "lottery"))), Kind::NotFound);
    assert_eq!(kind(client.ask(&activate("batches", "fair"))), Kind::NotFound);
    assert_eq!(kind(client.ask(&Command::Unload { name: "round-robin".into() })), Kind::Refused, "it is active");
    assert_eq!(kind(client.ask(&Command::Unload { name: "lottery".into() })), Kind::NotFound);
    assert_eq!(kind(client.ask(&Command::Load { file: "relative.so".into() })), Kind::Refused);
    assert_eq!(kind(client.ask(&Command::Load { file: "/dev/null".into() })), Kind::Refused);
    let changes = scene.rt.modules().changes();
    assert_eq!((changes.len(), changes[0].from, changes[0].to), (1, Some("fair"), "round-robin"));
    scene.end();
}

#[test]
fn a_place_that_is_taken_is_refused() {
    let scene = Scene::new();
    let again = Runtime::builder().workers(1).control_socket(&scene.path).build();
    assert!(matches!(again, Err(BuildError::Control(_))), "{again:?}");
    assert!(scene.client().ask(&Command::Hello).is_ok(), "the first is still there");
    scene.end();
}

/// Another user is refused even where the file system would let it in.
#[test]
fn another_user_is_refused() {
    // SAFETY: changes nothing.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let scene = Scene::new();
    let path = scene.path.clone();
    let ask = |user: u32| {
        let path = path.clone();
        // The system call changes this thread alone, and the kernel tells the other side who the thread is that connects.
        let thread = std::thread::spawn(move || {
            // SAFETY: numbers only.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) }, 0);
            let mut client = Client::connect(&path)?;
            client.ask(&Command::Hello)
        });
        thread.join().unwrap()
    };
    assert!(ask(65_534).is_err(), "the socket's mode keeps it out");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(kind(ask(65_534)), Kind::NotPermitted);
    assert!(matches!(ask(0), Ok(Reply::Hello(_))));
    scene.end();
}
