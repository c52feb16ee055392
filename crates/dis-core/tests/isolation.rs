//! Domains: rights, ceilings, quotas, each with the call that it stops. `isolation_model.rs` has random calls.

mod common;

use common::at;
use common::lock::Lock;
use dis_core::api::{CpuMask, SchedError, TaskApi, TaskId, TaskSpec};
use dis_core::executor::{Executor, Kill, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Ceiling, Domain, DomainSpec, MAX_DEPTH, Quota, Right, Rights};
use dis_core::scheduler::{Config, Urgency};

type Core = Executor<u32, Lock>;

fn core() -> Core {
    Executor::new(Config::new(1)).expect("a valid configuration")
}

fn domain(core: &Core, parent: Option<&Domain>, rights: Rights) -> Domain {
    core.create_domain(parent, DomainSpec::new("").with_rights(rights)).expect("created")
}

fn batch() -> TaskSpec<u32> {
    TaskSpec::new("", Intent::batch(), 0)
}

fn spawn_in(core: &Core, domain: &Domain) -> TaskId {
    core.spawn(at(0), None, batch().in_domain(domain)).expect("spawned").0
}

/// The call that each right allows, on `object`.
fn call(core: &Core, domain: &Domain, right: Right, object: TaskId) -> Result<(), SchedError> {
    let subject = core.as_domain(domain);
    match right {
        Right::Spawn => subject.spawn(at(0), None, batch()).map(drop),
        Right::Kill => subject.kill(at(0), object).map(drop),
        Right::Wake => subject.unpark(at(0), object).map(drop),
        Right::SetPriority => subject.set_priority(at(0), object, 7).map(drop),
        Right::SetAffinity => subject.set_affinity(at(0), object, CpuMask::first(1)).map(drop),
        Right::SetIntent => subject.set_intent(at(0), object, &Intent::background()).map(drop),
        Right::RaiseClass => subject.set_intent(at(0), object, &Intent::interactive(100)).map(drop),
        Right::LoadModule => subject.check(at(0), Right::LoadModule),
    }
}

#[test]
fn each_right_allows_its_call_and_no_other() {
    for held in Right::ALL {
        let core = core();
        // A change of class is a change of intent as well.
        let rights = Rights::NONE.with(held);
        let rights = if held == Right::RaiseClass { rights.with(Right::SetIntent) } else { rights };
        let domain = domain(&core, None, rights);
        for right in Right::ALL {
            let object = spawn_in(&core, &domain);
            let allowed = rights.contains(right);
            let expected = if allowed { Ok(()) } else { Err(SchedError::PermissionDenied) };
            assert_eq!(call(&core, &domain, right, object), expected, "{right} with the right to {held}");
        }
        let refused = (Right::ALL.len() - rights.iter().count()) as u64;
        assert_eq!((core.denied(), domain.usage().denied), (refused, refused));
    }
}

#[test]
fn wake_needs_its_right_too() {
    let core = core();
    let domain = domain(&core, None, Rights::ALL.without(Right::Wake));
    let sleeper = TaskSpec { start: Some(at(100)), ..batch().in_domain(&domain) };
    let (sleeper, _) = core.spawn(at(0), None, sleeper).unwrap();
    assert_eq!(core.as_domain(&domain).wake(at(0), sleeper), Err(SchedError::PermissionDenied));
    assert!(core.wake(at(0), sleeper).is_ok(), "the host may");
}

#[test]
fn tasks_of_other_domains_and_of_those_above_are_out_of_reach() {
    let core = core();
    let above = domain(&core, None, Rights::ALL);
    let own = domain(&core, Some(&above), Rights::ALL);
    let below = domain(&core, Some(&own), Rights::ALL);
    let beside = domain(&core, Some(&above), Rights::ALL);
    let (root, _) = core.spawn(at(0), None, batch()).unwrap();
    let objects = [&above, &own, &below, &beside].map(|domain| spawn_in(&core, domain));
    for right in Right::ALL.into_iter().filter(|&right| right != Right::Spawn && right != Right::LoadModule) {
        for (object, reached) in [(objects[0], false), (objects[3], false), (root, false)] {
            assert_eq!(call(&core, &own, right, object).is_ok(), reached, "{right}");
        }
    }
    for object in [objects[1], objects[2]] {
        assert_eq!(call(&core, &own, Right::SetPriority, object), Ok(()));
    }
    let own = core.as_domain(&own);
    for place in [&above, &beside] {
        assert_eq!(own.spawn(at(0), None, batch().in_domain(place)).err(), Some(SchedError::PermissionDenied));
        let made = own.create_domain(at(0), Some(place), DomainSpec::new(""));
        assert_eq!(made.err(), Some(SchedError::PermissionDenied));
    }
    assert!(own.spawn(at(0), None, batch().in_domain(&below)).is_ok());
    assert!(own.create_domain(at(0), Some(&below), DomainSpec::new("")).is_ok());
}

#[test]
fn rights_only_shrink_on_the_way_down() {
    let core = core();
    let some = Rights::NONE.with(Right::Spawn).with(Right::Kill);
    let parent = domain(&core, None, some);
    let more = DomainSpec::new("").with_rights(some.with(Right::Wake));
    assert_eq!(core.create_domain(Some(&parent), more).err(), Some(SchedError::PermissionDenied));
    let child = core.create_domain(Some(&parent), DomainSpec::new("")).unwrap();
    assert_eq!(child.rights(), some, "all that the parent has, unless less is asked for");
    parent.restrict(Rights::ALL.without(Right::Kill));
    assert_eq!((parent.rights(), child.rights()), (some.without(Right::Kill), some.without(Right::Kill)));
    let object = spawn_in(&core, &child);
    assert_eq!(call(&core, &child, Right::Kill, object), Err(SchedError::PermissionDenied), "at once, for all below");
}

#[test]
fn a_refused_call_is_logged_with_who_what_whom_and_when() {
    let core = core();
    let domain = domain(&core, None, Rights::NONE);
    let (caller, object) = (spawn_in(&core, &domain), spawn_in(&core, &domain));
    let refused = core.as_task(caller).unwrap().kill(at(77), object);
    assert_eq!(refused, Err(SchedError::PermissionDenied));
    let log = core.denials();
    let (denial, act) = (log[0], log[0].act);
    assert_eq!((log.len(), denial.at), (1, at(77)));
    assert_eq!((act.domain, act.subject, act.right, act.object), (domain.id(), caller, Right::Kill, object));
    assert!(core.with_task(object, |_| ()).is_ok(), "and has not happened");
}

/// The reference's task API is for the task that runs.
#[test]
fn the_task_api_is_checked_for_the_running_task() {
    let core = core();
    let domain = domain(&core, None, Rights::NONE.with(Right::Spawn));
    let runs = spawn_in(&core, &domain);
    assert_eq!(core.schedule(0, at(0), Leave::Ask).unwrap().next.map(|next| next.id), Some(runs));
    let mut view = core.on(0, at(0));
    let child = view.spawn(1, Intent::batch()).unwrap();
    assert_eq!(core.domain_of(child).unwrap(), Some(domain), "a child is in its parent's domain");
    assert_eq!(view.kill(child), Err(SchedError::PermissionDenied));
    assert_eq!(view.wake(child), Err(SchedError::PermissionDenied));
    assert_eq!(view.set_priority(child, 200), Err(SchedError::PermissionDenied));
    assert_eq!(view.set_affinity(child, CpuMask::first(1)), Err(SchedError::PermissionDenied));
}

#[test]
fn children_cannot_leave_their_parents_domain_even_if_the_host_asks_for_them() {
    let core = core();
    let domain = domain(&core, None, Rights::NONE);
    let parent = spawn_in(&core, &domain);
    let (child, _) = core.spawn(at(0), None, TaskSpec { parent, ..batch() }).unwrap();
    assert_eq!(core.domain_of(child).unwrap(), Some(domain));
}

fn with_ceiling(core: &Core, class: QueueType, priority: u8) -> Domain {
    core.create_domain(None, DomainSpec::new("").with_ceiling(Ceiling { class, priority })).unwrap()
}

#[test]
fn no_task_gets_above_the_ceiling_whoever_asks() {
    let core = core();
    let domain = with_ceiling(&core, QueueType::Batch, 120);
    let denied = Some(SchedError::PermissionDenied);
    for intent in [Intent::system(), Intent::realtime(10_000, 10_000, 1_000), Intent::interactive(1_000)] {
        let spec = TaskSpec::new("", intent.clone(), 0);
        assert_eq!(core.as_domain(&domain).spawn(at(0), None, spec.clone()).err(), denied);
        assert_eq!(core.spawn(at(0), None, spec.in_domain(&domain)).err(), denied);
        let task = spawn_in(&core, &domain);
        assert_eq!(core.as_domain(&domain).set_intent(at(0), task, &intent).err(), denied);
        assert_eq!(core.set_intent(at(0), task, &intent).err(), denied);
        let _ = core.kill(at(0), task).unwrap();
    }
    assert_eq!(domain.usage().tasks, 0);
    let task = spawn_in(&core, &domain);
    let priority = |task| core.with_task(task, |task| task.priority).unwrap();
    assert_eq!(priority(task), 120, "a batch task would begin at 100");
    assert_eq!(core.as_domain(&domain).set_priority(at(0), task, 119).err(), denied);
    assert!(core.as_domain(&domain).set_priority(at(0), task, 121).is_ok());
    let _ = core.set_intent(at(0), task, &Intent::background()).unwrap();
    assert!(core.set_priority(at(0), task, 0).is_ok(), "in a less urgent class any will do");
    let _ = core.set_intent(at(0), task, &Intent::batch()).unwrap();
    assert_eq!(priority(task), 120);
}

#[test]
fn a_reservation_that_the_ceiling_forbids_leaves_nothing_reserved() {
    let core = core();
    let domain = with_ceiling(&core, QueueType::Batch, 0);
    let most = Intent::realtime(10_000, 10_000, 9_000);
    for _ in 0..3 {
        assert!(core.spawn(at(0), None, TaskSpec::new("", most.clone(), 0).in_domain(&domain)).is_err());
    }
    assert!(core.spawn(at(0), None, TaskSpec::new("", most, 0)).is_ok());
}

#[test]
fn a_childs_ceiling_is_not_above_its_parents() {
    let core = core();
    let parent = with_ceiling(&core, QueueType::Batch, 120);
    for (class, priority, allowed) in [
        (QueueType::Interactive, 255, false),
        (QueueType::Batch, 119, false),
        (QueueType::Batch, 120, true),
        (QueueType::Background, 0, true),
    ] {
        let spec = DomainSpec::new("").with_ceiling(Ceiling { class, priority });
        assert_eq!(core.create_domain(Some(&parent), spec).is_ok(), allowed, "{class} {priority}");
    }
    let child = core.create_domain(Some(&parent), DomainSpec::new("")).unwrap();
    assert_eq!(child.ceiling(), parent.ceiling());
}

#[test]
fn lent_urgency_passes_the_ceiling_and_goes_with_the_loan() {
    let core = core();
    let domain = with_ceiling(&core, QueueType::Background, 0);
    let (holder, _) = core.spawn(at(0), None, TaskSpec::new("", Intent::background(), 0).in_domain(&domain)).unwrap();
    let lent = Urgency { class: QueueType::Interactive, priority: 50, deadline: at(1_000) };
    let _ = core.inherit(at(0), holder, Some(lent)).unwrap();
    let class = || core.with_task(holder, |task| task.effective_class()).unwrap();
    assert_eq!(class(), QueueType::Interactive);
    let _ = core.inherit(at(0), holder, None).unwrap();
    assert_eq!(class(), QueueType::Background);
}

fn of_tasks(tasks: u32) -> Quota {
    Quota { tasks: Some(tasks), ..Quota::default() }
}

#[test]
fn tasks_are_counted_against_every_domain_above() {
    let core = core();
    let outer = core.create_domain(None, DomainSpec::new("").with_quota(of_tasks(4))).unwrap();
    let inner = core.create_domain(Some(&outer), DomainSpec::new("").with_quota(of_tasks(2))).unwrap();
    assert_eq!(outer.usage().tasks, 1, "a domain counts as a task of the one it is in");
    let spawn = |domain: &Domain| core.spawn(at(0), None, batch().joinable().in_domain(domain)).map(|(id, _)| id);
    let first = spawn(&inner).unwrap();
    spawn(&inner).unwrap();
    assert_eq!(spawn(&inner).err(), Some(SchedError::ResourceExhausted));
    assert_eq!((inner.usage().tasks, outer.usage().tasks), (2, 3), "what was refused left nothing behind");
    spawn(&outer).unwrap();
    assert_eq!(spawn(&outer).err(), Some(SchedError::ResourceExhausted));
    core.create_domain(Some(&outer), DomainSpec::new("")).expect_err("no room for a domain either");

    // A task that has ended counts until its exit status has been collected.
    assert_eq!(core.kill(at(0), first), Ok(Kill::Done(None)));
    assert_eq!(spawn(&inner).err(), Some(SchedError::ResourceExhausted));
    core.join(first, TaskId::INVALID).unwrap();
    assert_eq!((inner.usage().tasks, outer.usage().tasks), (1, 3));
    spawn(&inner).unwrap();
    assert_eq!((inner.usage().exhausted, outer.usage().exhausted), (2, 2));
}

#[test]
fn memory_is_counted_for_task_and_domains_and_comes_back_with_the_task() {
    let core = core();
    let quota = |memory| DomainSpec::new("").with_quota(Quota { memory: Some(memory), ..Quota::default() });
    let outer = core.create_domain(None, quota(1000)).unwrap();
    let inner = core.create_domain(Some(&outer), quota(800)).unwrap();
    let spec = TaskSpec::new("", Intent::batch().with_memory_limit(600), 0);
    let (task, _) = core.spawn(at(0), None, spec.clone().in_domain(&inner)).unwrap();
    assert_eq!(core.charge_memory(task, 601), Err(SchedError::ResourceExhausted), "the task's own limit");
    assert_eq!(core.charge_memory(task, 600), Ok(()));
    let (other, _) = core.spawn(at(0), None, spec.in_domain(&inner)).unwrap();
    assert_eq!(core.charge_memory(other, 201), Err(SchedError::ResourceExhausted), "the inner quota");
    assert_eq!(outer.charge_memory(401), Err(SchedError::ResourceExhausted), "the outer quota");
    assert_eq!(outer.charge_memory(300), Ok(()));
    assert_eq!(core.charge_memory(other, 101), Err(SchedError::ResourceExhausted), "the outer quota, from within");
    let held = || (inner.usage().memory, outer.usage().memory);
    assert_eq!(held(), (600, 900), "what was refused left nothing behind");
    core.uncharge_memory(task, 100).unwrap();
    assert_eq!(held(), (500, 800));
    let _ = core.kill(at(0), task).unwrap();
    assert_eq!(held(), (0, 300));
    outer.uncharge_memory(u64::MAX);
    assert_eq!(held(), (0, 0));
    assert_eq!(inner.charge_memory(u64::MAX), Err(SchedError::ResourceExhausted));
}

#[test]
fn domains_are_nested_only_so_deep() {
    let core = core();
    let mut deepest = domain(&core, None, Rights::ALL);
    for _ in 1..MAX_DEPTH {
        deepest = domain(&core, Some(&deepest), Rights::ALL);
    }
    let deeper = core.create_domain(Some(&deepest), DomainSpec::new(""));
    assert!(matches!(deeper, Err(SchedError::NotSupported(_))));
    assert_eq!(core.domains().len(), MAX_DEPTH);
}

#[test]
fn a_spawn_that_fails_later_gives_its_place_back() {
    let core: Core = Executor::new(Config { max_tasks: 1, ..Config::new(1) }).unwrap();
    let domain = domain(&core, None, Rights::ALL);
    spawn_in(&core, &domain);
    assert_eq!(core.spawn(at(0), None, batch().in_domain(&domain)).err(), Some(SchedError::ResourceExhausted));
    assert_eq!(domain.usage().tasks, 1);
}
