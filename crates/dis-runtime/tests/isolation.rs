//! Domains in a real process: what a task may do through handles that were passed on to it, and what its domain gets.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dis_core::intent::QueueType;
use dis_core::isolation::{Domain, DomainSpec, Quota, Right, Rights};
use dis_runtime::{
    CpuMask, Intent, JoinHandle, Runtime, SchedError, SpawnError, future, park, spawn_fn, task, yield_now,
};

const DENIED: Result<(), SchedError> = Err(SchedError::PermissionDenied);

fn runtime() -> Runtime {
    Runtime::builder().workers(1).build().expect("a runtime")
}

fn domain(rt: &Runtime, rights: Rights) -> Domain {
    rt.create_domain(None, DomainSpec::new("guest").with_rights(rights)).expect("made")
}

/// Runs `body` as a task of `domain`.
fn within<T: Send + 'static>(rt: &Runtime, domain: &Domain, body: impl FnOnce() -> T + Send + 'static) -> T {
    let task = rt.task(Intent::batch()).in_domain(domain).spawn(body).expect("spawned");
    task.join().expect("no panic")
}

/// A task that waits until `go`; in `domain`, if any.
fn waiter(rt: &Runtime, domain: Option<&Domain>, go: &Arc<AtomicBool>) -> Arc<JoinHandle<()>> {
    let go = Arc::clone(go);
    let mut builder = rt.task(Intent::batch());
    if let Some(domain) = domain {
        builder = builder.in_domain(domain);
    }
    let body = move || {
        while !go.load(Ordering::SeqCst) {
            park();
        }
    };
    Arc::new(builder.spawn(body).expect("spawned"))
}

fn change(victim: &JoinHandle<()>) -> [Result<(), SchedError>; 5] {
    [
        victim.wake(),
        victim.set_priority(120),
        victim.set_affinity(CpuMask::ALL),
        victim.set_intent(&Intent::background()),
        victim.kill(),
    ]
}

/// Ends a task that `waiter` made, and says whether it ended by itself.
fn finish(victim: Arc<JoinHandle<()>>, go: &AtomicBool) -> bool {
    go.store(true, Ordering::SeqCst);
    victim.unpark();
    Arc::into_inner(victim).expect("the last handle").join().is_ok()
}

/// Stops who looks at it, also when the test fails.
struct SetAtEnd(Arc<AtomicBool>);

impl Drop for SetAtEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_handle_that_is_passed_on_gives_no_rights() {
    let rt = runtime();
    let (go, guest) = (Arc::new(AtomicBool::new(false)), domain(&rt, Rights::ALL));
    let victim = waiter(&rt, None, &go);
    let handle = Arc::clone(&victim);
    let got = within(&rt, &guest, move || {
        handle.abort();
        handle.unpark();
        change(&handle)
    });
    assert_eq!(got, [DENIED; 5], "it has all rights, but not over a task outside");
    assert_eq!((rt.denied(), guest.usage().denied), (7, 7));
    let log = rt.denials().expect("no task");
    assert_eq!(log.iter().filter(|denial| denial.act.object == victim.id()).count(), 7);
    assert!(finish(victim, &go), "nothing has happened to it");
    // The host itself may.
    let victim = waiter(&rt, None, &Arc::default());
    assert_eq!(change(&victim), [Ok(()); 5]);
}

#[test]
fn within_its_domain_a_task_may_what_its_rights_say() {
    let rt = runtime();
    let rights = [Right::Wake, Right::SetPriority, Right::SetAffinity, Right::SetIntent, Right::Kill];
    for (n, right) in rights.into_iter().enumerate() {
        for has in [true, false] {
            let guest = domain(&rt, if has { Rights::NONE.with(right) } else { Rights::ALL.without(right) });
            let go = Arc::new(AtomicBool::new(false));
            let victim = waiter(&rt, Some(&guest), &go);
            let handle = Arc::clone(&victim);
            let got = within(&rt, &guest, move || change(&handle));
            let wanted: [_; 5] = std::array::from_fn(|other| if (n == other) == has { Ok(()) } else { DENIED });
            assert_eq!(got, wanted, "{right}: {has}");
            assert_eq!(finish(victim, &go), (right == Right::Kill) != has, "{right}: {has}");
        }
    }
}

#[test]
fn spawning_needs_a_right_and_children_stay() {
    let rt = runtime();
    let spawn = || spawn_fn(Intent::batch(), || ()).map(|task| task.join().expect("no panic"));
    let refused = Err(SpawnError::Refused(SchedError::PermissionDenied));
    assert_eq!(within(&rt, &domain(&rt, Rights::ALL.without(Right::Spawn)), spawn), refused);
    let (guest, other) = (domain(&rt, Rights::ALL.without(Right::RaiseClass)), domain(&rt, Rights::ALL));
    assert_eq!(within(&rt, &guest, spawn), Ok(()));
    let elsewhere = other.clone();
    let got = within(&rt, &guest, move || task(Intent::batch()).in_domain(&elsewhere).spawn(|| ()).map(drop));
    assert_eq!(got, refused, "not into another domain");
    let raised = || spawn_fn(Intent::interactive(1_000), || ()).map(drop);
    assert_eq!(within(&rt, &guest, raised), refused, "not into a more urgent class");
    assert_eq!(within(&rt, &other, raised), Ok(()));
    // A child of a child is a child.
    let counted = guest.clone();
    let tasks = within(&rt, &guest, move || {
        let count = move || counted.usage().tasks;
        spawn_fn(Intent::batch(), move || spawn_fn(Intent::batch(), count).expect("spawned").join().ok())
            .expect("spawned")
            .join()
            .ok()
            .flatten()
    });
    assert_eq!(tasks, Some(3));
}

#[test]
fn a_quota_of_tasks_holds() {
    let rt = runtime();
    let quota = Quota { tasks: Some(3), ..Quota::default() };
    let guest = rt.create_domain(None, DomainSpec::new("guest").with_quota(quota)).expect("made");
    let got = within(&rt, &guest, || {
        let tasks: Vec<_> = (0..5).map(|_| spawn_fn(Intent::batch(), yield_now).map(Some)).collect();
        tasks.into_iter().filter_map(Result::ok).flatten().filter_map(|task| task.join().ok()).count()
    });
    assert!((2..=4).contains(&got) && guest.usage().exhausted >= 1, "{got}, {:?}", guest.usage());
}

/// One task and twenty, each in a domain of its own: half of the CPU for each.
#[test]
fn twenty_tasks_get_what_one_gets() {
    let rt = runtime();
    let domains = [0, 1].map(|_| domain(&rt, Rights::NONE));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for (domain, count) in domains.iter().zip([1, 20]) {
        for _ in 0..count {
            let stop = Arc::clone(&stop);
            let hog = move || {
                while !stop.load(Ordering::Relaxed) {
                    (0..1000).for_each(|n| _ = black_box(n));
                }
            };
            tasks.push(rt.task(Intent::batch()).in_domain(domain).spawn(hog).expect("spawned"));
        }
    }
    std::thread::sleep(Duration::from_millis(1500));
    let [one, twenty] = domains.each_ref().map(|domain| domain.usage().cpu_time);
    stop.store(true, Ordering::SeqCst);
    tasks.into_iter().for_each(|task| task.join().expect("no panic"));
    let share = one * 1000 / (one + twenty).max(1);
    assert!((450..=550).contains(&share), "the one has {share} per mille: {one} against {twenty} ns");
}

#[test]
fn modules_need_a_right() {
    let rt = Arc::new(runtime());
    for (rights, wanted) in
        [(Rights::ALL.without(Right::LoadModule), DENIED), (Rights::NONE.with(Right::LoadModule), Ok(()))]
    {
        let (guest, of) = (domain(&rt, rights), Arc::clone(&rt));
        let got = within(&rt, &guest, move || {
            let activated = of.modules().activate(QueueType::Batch, "round-robin").map(drop);
            // Only who may gets to hear that there is none.
            [
                activated,
                of.modules().unload("nobody").or_else(|error| match error {
                    SchedError::TaskNotFound => Ok(()),
                    error => Err(error),
                }),
            ]
        });
        assert_eq!(got, [wanted; 2], "{rights:?}");
    }
}

/// Futures that share a lane work for all, so none may be spawned from a domain; one with a task of its own stays there.
#[test]
fn futures_do_not_leave_their_domain() {
    let rt = runtime();
    let guest = domain(&rt, Rights::ALL);
    let got = within(&rt, &guest, || future::spawn(Intent::batch(), async {}).map(drop));
    assert!(matches!(got, Err(SpawnError::Refused(SchedError::NotSupported(_)))), "{got:?}");
    let (counted, own) = (guest.clone(), Intent::batch().with_cpu_share(0, 900));
    let got = within(&rt, &guest, move || {
        future::spawn(own, async move { counted.usage().tasks }).expect("spawned").join().expect("no panic")
    });
    assert_eq!(got, 2, "its own task and the one that waits");
    // A handle to one outside gives no rights either.
    let go = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&go);
    let outside = rt.spawn(Intent::batch(), async move {
        while !seen.load(Ordering::SeqCst) {
            future::yield_now().await;
        }
    });
    let outside = outside.expect("spawned");
    let handle = outside.abort_handle();
    within(&rt, &guest, move || handle.abort());
    assert_eq!(guest.usage().denied, 1);
    go.store(true, Ordering::SeqCst);
    assert_eq!(outside.join().map_err(|error| error.is_cancelled()), Ok(()), "nothing has happened to it");
}

#[test]
fn the_end_of_a_domain_ends_all_its_tasks_and_gives_everything_back() {
    let rt = Arc::new(runtime());
    let outer = domain(&rt, Rights::ALL);
    let guest = rt.create_domain(Some(&outer), DomainSpec::new("inner")).expect("made");
    let below = rt.create_domain(Some(&guest), DomainSpec::new("below")).expect("made");
    let (go, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut tasks: Vec<_> = [&guest, &guest, &below].map(|domain| waiter(&rt, Some(domain), &go)).into();
    let spawner = || {
        let children = |_| spawn_fn(Intent::batch(), park).expect("spawned");
        (0..5).map(children).collect::<Vec<_>>().into_iter().for_each(|child| drop(child.join()));
        // Its children may end before it hears of its own end.
        loop {
            park();
        }
    };
    tasks.push(Arc::new(rt.task(Intent::batch()).in_domain(&below).spawn(spawner).expect("spawned")));
    let (ends, begun) = (Arc::clone(&stop), Arc::new(AtomicBool::new(false)));
    let has_begun = Arc::clone(&begun);
    let deaf = move || {
        has_begun.store(true, Ordering::SeqCst);
        while !ends.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        yield_now();
    };
    tasks.push(Arc::new(rt.task(Intent::batch()).in_domain(&guest).spawn(deaf).expect("spawned")));
    let pending = rt.task(Intent::batch()).in_domain(&guest).spawn(|| {
        future::spawn(Intent::batch().with_cpu_share(0, 900), std::future::pending::<()>()).expect("spawned")
    });
    let pending = pending.expect("spawned").join().expect("no panic");
    // One that does not hear of its end is not to outlive a test that fails.
    let _ends = SetAtEnd(Arc::clone(&stop));
    // A waiter, the spawner, and its children.
    let ready = || begun.load(Ordering::SeqCst) && below.usage().tasks == 7;
    let looks = (0..30_000).find(|_| ready() || (std::thread::sleep(Duration::from_millis(1)), false).1);
    assert!(looks.is_some(), "children stay in their parent's domain: {:?}", below.usage());
    let bystander = waiter(&rt, Some(&outer), &go);
    guest.charge_memory(4096).expect("no quota");

    let timeout = Duration::from_millis(300);
    assert_eq!(rt.destroy_domain(&guest, timeout), Ok(false), "one does not hear of it");
    let refused = rt.task(Intent::batch()).in_domain(&below).spawn(|| ()).map(drop);
    assert_eq!(refused, Err(SpawnError::Refused(SchedError::InvalidState)));
    stop.store(true, Ordering::SeqCst);
    assert_eq!(rt.destroy_domain(&guest, Duration::from_secs(30)), Ok(true));
    for task in tasks {
        let ended = Arc::into_inner(task).expect("the last handle").join();
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
    assert!(pending.join().is_err_and(|error| error.is_cancelled()));
    assert_eq!((guest.usage().tasks, outer.usage().tasks, outer.usage().memory), (0, 1, 0));
    assert_eq!(rt.destroy_domain(&guest, timeout), Err(SchedError::InvalidState));
    assert!(finish(bystander, &go), "it was in the domain above");
    let of = Arc::clone(&rt);
    let inside = rt.spawn_fn(Intent::batch(), move || of.destroy_domain(&outer, timeout)).expect("spawned");
    assert!(matches!(inside.join(), Ok(Err(SchedError::NotSupported(_)))));
}
