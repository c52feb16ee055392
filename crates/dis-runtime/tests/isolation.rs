//! Domains in a real process: what a task may do through handles that were passed on to it, and what its domain gets.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dis_core::isolation::{Domain, DomainSpec, Quota, Right, Rights};
use dis_runtime::{CpuMask, Intent, JoinHandle, Runtime, SchedError, SpawnError, park, spawn_fn, task, yield_now};

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

fn change(victim: &JoinHandle<()>) -> [Result<(), SchedError>; 4] {
    [
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

#[test]
fn a_handle_that_is_passed_on_gives_no_rights() {
    let rt = runtime();
    let (go, guest) = (Arc::new(AtomicBool::new(false)), domain(&rt, Rights::ALL));
    let victim = waiter(&rt, None, &go);
    let handle = Arc::clone(&victim);
    let got = within(&rt, &guest, move || {
        handle.abort();
        change(&handle)
    });
    assert_eq!(got, [DENIED; 4], "it has all rights, but not over a task outside");
    assert_eq!((rt.denied(), guest.usage().denied), (5, 5));
    assert_eq!(rt.denials().iter().filter(|denial| denial.act.object == victim.id()).count(), 5);
    assert!(finish(victim, &go), "nothing has happened to it");
    // The host itself may.
    let victim = waiter(&rt, None, &go);
    assert_eq!(change(&victim), [Ok(()); 4]);
}

#[test]
fn within_its_domain_a_task_may_what_its_rights_say() {
    let rt = runtime();
    let rights = [Right::SetPriority, Right::SetAffinity, Right::SetIntent, Right::Kill];
    for (n, right) in rights.into_iter().enumerate() {
        for has in [true, false] {
            let guest = domain(&rt, if has { Rights::NONE.with(right) } else { Rights::ALL.without(right) });
            let go = Arc::new(AtomicBool::new(false));
            let victim = waiter(&rt, Some(&guest), &go);
            let handle = Arc::clone(&victim);
            let got = within(&rt, &guest, move || change(&handle));
            let wanted: [_; 4] = std::array::from_fn(|other| if (n == other) == has { Ok(()) } else { DENIED });
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
        tasks.into_iter().filter_map(Result::ok).flatten().map(|task| task.join().is_ok()).count()
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
                    (0..1000).for_each(|n| drop(black_box(n)));
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
