//! A domain is destroyed while its tasks are in mid-call: as callers, in the queue of callers, as servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use dis_core::isolation::{Domain, DomainSpec, Quota};
use dis_runtime::sync::{Client, Failure, endpoint};
use dis_runtime::{Intent, JoinHandle, Runtime, sleep};

/// Far more than a busy machine needs.
const LONG: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);

struct Scene {
    rt: Runtime,
    /// Above the one that is destroyed.
    above: Domain,
    doomed: Domain,
    /// The server answers.
    go: Arc<AtomicBool>,
    /// Requests that it has begun with.
    begun: Arc<AtomicU32>,
}

impl Scene {
    fn new() -> Scene {
        let rt = Runtime::builder().workers(2).build().expect("a runtime");
        let quota = Quota { tasks: Some(100), ..Quota::default() };
        let above = rt.create_domain(None, DomainSpec::new("above").with_quota(quota)).expect("made");
        let doomed = rt.create_domain(Some(&above), DomainSpec::new("doomed")).expect("made");
        Scene { rt, above, doomed, go: Arc::default(), begun: Arc::default() }
    }

    fn spawn<T: Send + 'static>(&self, within: bool, body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let task = self.rt.task(Intent::batch());
        let task = if within { task.in_domain(&self.doomed) } else { task };
        task.spawn(body).expect("spawned")
    }

    /// A server that waits in each call until told.
    fn serve(&self, within: bool) -> (Client<u32, u32>, JoinHandle<()>) {
        let (client, mut server) = endpoint();
        let (go, begun) = (Arc::clone(&self.go), Arc::clone(&self.begun));
        let answer = move |number: u32| {
            begun.fetch_add(1, Ordering::SeqCst);
            while !go.load(Ordering::SeqCst) {
                sleep(PAUSE);
            }
            2 * number
        };
        (client, self.spawn(within, move || server.serve(answer)))
    }

    /// The call of a task, as soon as the server has begun with it; or, if it is busy, with time to get into the queue.
    fn call(&self, within: bool, client: &Client<u32, u32>, number: u32) -> JoinHandle<Result<u32, Failure>> {
        let (client, calls, called) = (client.clone(), Arc::<AtomicBool>::default(), self.begun.load(Ordering::SeqCst));
        let begins = Arc::clone(&calls);
        let task = self.spawn(within, move || {
            begins.store(true, Ordering::SeqCst);
            client.call(number).map_err(|error| error.failure)
        });
        self.eventually(|| calls.load(Ordering::SeqCst));
        if called == 0 {
            self.eventually(|| self.begun.load(Ordering::SeqCst) == 1);
        } else {
            std::thread::sleep(20 * PAUSE);
        }
        task
    }

    fn eventually(&self, is: impl Fn() -> bool) {
        (0..30_000).find(|_| is() || (std::thread::sleep(PAUSE), false).1).expect("it takes too long");
    }

    fn destroy(&self) {
        assert_eq!(self.rt.destroy_domain(&self.doomed, LONG), Ok(true), "{:?}", self.doomed.usage());
        assert_eq!((self.doomed.usage().tasks, self.above.usage().tasks), (0, 0));
    }
}

fn is_cancelled<T>(task: JoinHandle<T>) -> bool {
    task.join().is_err_and(|error| error.is_cancelled())
}

#[test]
fn callers_end_with_their_domain_and_the_server_goes_on() {
    let scene = Scene::new();
    let (client, server) = scene.serve(false);
    let calls = scene.call(true, &client, 1);
    let waits = scene.call(true, &client, 2);
    let outside = scene.call(false, &client, 3);
    scene.destroy();
    assert!(is_cancelled(calls) && is_cancelled(waits));
    assert!(!server.is_finished() && !outside.is_finished());
    scene.go.store(true, Ordering::SeqCst);
    assert_eq!(outside.join().expect("no panic"), Ok(6), "its turn has come");
    assert_eq!(scene.begun.load(Ordering::SeqCst), 2, "not with the one that waited in vain");
    drop(client);
    server.join().expect("no panic");
}

#[test]
fn a_server_ends_with_its_domain_and_its_callers_are_told() {
    let scene = Scene::new();
    let (client, server) = scene.serve(true);
    let calls = scene.call(false, &client, 1);
    let waits = scene.call(false, &client, 2);
    scene.destroy();
    assert!(is_cancelled(server));
    assert_eq!(calls.join().expect("no panic"), Err(Failure::Unanswered));
    assert_eq!(waits.join().expect("no panic"), Err(Failure::Closed));
    let late = scene.call(false, &client, 3);
    assert_eq!(late.join().expect("no panic"), Err(Failure::Closed));
}

/// The one in the middle of a chain: whom it serves is told, and whom it has called goes on.
#[test]
fn a_server_that_calls_ends_with_its_domain() {
    let scene = Scene::new();
    let (client, server) = scene.serve(false);
    let (front, mut middle) = endpoint();
    let forward = client.clone();
    let middle = scene.spawn(true, move || middle.serve(|number| forward.call(number).expect("a reply")));
    let calls = scene.call(false, &front, 1);
    scene.destroy();
    assert!(is_cancelled(middle));
    assert_eq!(calls.join().expect("no panic"), Err(Failure::Unanswered));
    scene.go.store(true, Ordering::SeqCst);
    assert_eq!(scene.call(false, &client, 5).join().expect("no panic"), Ok(10));
    drop(client);
    server.join().expect("no panic");
}
