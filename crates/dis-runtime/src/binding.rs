//! Where a chosen task runs: on the KLT it is bound to, or, if it has not begun, on one that it is bound to now.

use std::ptr;
use std::sync::atomic::Ordering;

use dis_core::intent::QueueType;

use crate::identity::{Acquired, Kind, acquire_or_wait};
use crate::keep;
use crate::klt::Klt;
use crate::runtime::Inner;
use crate::shortage::Lack;
use crate::task::{Header, Sharing, TaskRef};
use crate::worker::Worker;

/// How a decision's task gets to run.
pub(crate) enum Site {
    /// On this KLT: switch stacks.
    Here,
    /// On that KLT, which is acquired: hand the worker over.
    There(&'static Klt),
    /// Later, or never: the task waits for its identity, or for what it lacks to begin; or it was aborted before it began.
    Declined,
}

/// Finds out where `task` runs. `me` is the task on whose stack the carrier is, if any; `free` tells whether the carrier
/// is at a cooperative point.
pub(crate) fn locate(klt: &'static Klt, me: Option<&Header>, task: TaskRef, free: bool) -> Site {
    let rt = klt.rt();
    let task = task.header();
    // SAFETY: KLTs live as long as the runtime.
    if let Some(own) = unsafe { task.klt.load(Ordering::Relaxed).as_ref() } {
        if free && ptr::eq(own, klt) {
            return Site::Here;
        }
        return reach(rt, own, task);
    }
    // Whoever aborted it sees to its end, in the core as well.
    let Some(told) = rt.claim(task) else { return Site::Declined };
    let site = if rt.attach_stack(klt, task) { assign(klt, me, task, free) } else { Err(Lack::Stack) };
    match site {
        Ok(site) => {
            if told {
                rt.tell_next();
            }
            site
        }
        Err(lack) => {
            rt.detach_stack(klt, task);
            rt.wait_for(task, lack);
            // From here on somebody else may end it.
            task.unclaim();
            Site::Declined
        }
    }
}

fn reach(rt: &Inner, klt: &'static Klt, task: &Header) -> Site {
    if klt.is_displaced(task) {
        return Site::Declined; // It wakes the task when it is back.
    }
    match acquire_or_wait(rt, klt, task) {
        Acquired::Yes => Site::There(klt),
        Acquired::Waits => Site::Declined,
    }
}

/// Binds an unstarted task to a KLT, unless none can be had here and now.
fn assign(klt: &'static Klt, me: Option<&Header>, task: &Header, free: bool) -> Result<Site, Lack> {
    let rt = klt.rt();
    let worker = klt.worker();
    let class = task.class;
    // Tasks that somebody waits for share by worker when there are many; a group that spans workers would delay them.
    let many = rt.identities_used() >= rt.config.identities;
    let kind = match task.sharing {
        Sharing::Never => Kind::Dedicated,
        Sharing::Always => Kind::Shared(class),
        Sharing::WhenMany if many && class <= QueueType::Interactive => Kind::Shared(class),
        Sharing::WhenMany => Kind::Own(class),
    };
    let lack = if kind == Kind::Dedicated { Lack::OwnKlt } else { Lack::Klt };
    // The carrier itself, if no task is bound to it and somebody else can be the worker's home.
    if free && klt.identity.bound() == 0 && rt.secure_home(worker, lack.leaves()) {
        rt.bind_first(klt, kind);
        task.bind(klt);
        if kind == Kind::Shared(class) && lacks_shared(worker, class) {
            worker.shared[class as usize].store(ptr::from_ref(klt).cast_mut(), Ordering::Release);
        }
        return Ok(Site::Here);
    }
    if kind == Kind::Dedicated {
        return own(rt, worker, task, lack, kind);
    }
    // A chain of joins: the tasks of this identity cannot go on before `task` has ended, whatever it does.
    if free
        && let Some(me) = me
        && ptr::eq(me.joining.load(Ordering::Relaxed), task)
        && klt.identity.bound() == me.chain.load(Ordering::Relaxed)
        && !klt.identity.is(Kind::Dedicated)
        && task.sharing == Sharing::WhenMany
    {
        klt.identity.bind_guest();
        task.bind(klt);
        task.chain.store(me.chain.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        keep::keep(rt, me);
        keep::keep_later(task);
        return Ok(Site::Here);
    }
    // A crowd: there are more tasks than identities, so it shares with somebody in any case. To share with those whose thread
    // this is costs no hand-over, now or when it yields to them.
    if free && task.sharing == Sharing::WhenMany && rt.is_crowded() && klt.identity.welcomes(class) {
        klt.identity.bind_guest();
        task.bind(klt);
        keep::keep_later(task);
        return Ok(Site::Here);
    }
    if kind == Kind::Shared(class) {
        // SAFETY: KLTs live as long as the runtime.
        if let Some(shared) = unsafe { worker.shared[class as usize].load(Ordering::Acquire).as_ref() } {
            let here = free && ptr::eq(shared, klt);
            if (here || !shared.identity.is_held()) && shared.identity.bind_more(kind) {
                task.bind(shared);
                keep::keep(rt, task);
                return Ok(if here { Site::Here } else { reach(rt, shared, task) });
            }
        }
        // None yet, or a preempted task keeps it: the newcomers get another one.
        let site = own(rt, worker, task, lack, kind)?;
        worker.shared[class as usize].store(task.klt.load(Ordering::Relaxed), Ordering::Release);
        return Ok(site);
    }
    if !many {
        return own(rt, worker, task, lack, kind);
    }
    // More tasks than identities: join the smallest group of the class.
    match rt.smallest_group(|identity| identity.is(kind)) {
        Some(group) if group.identity.bind_more(kind) => {
            task.bind(group);
            let here = free && ptr::eq(group, klt);
            Ok(if here { Site::Here } else { reach(rt, group, task) })
        }
        _ => own(rt, worker, task, lack, kind),
    }
}

fn lacks_shared(worker: &Worker, class: QueueType) -> bool {
    // SAFETY: KLTs live as long as the runtime.
    unsafe { worker.shared[class as usize].load(Ordering::Acquire).as_ref() }
        .is_none_or(|klt| !klt.identity.is(Kind::Shared(class)))
}

/// Takes a spare KLT for `task`.
fn own(rt: &Inner, worker: &Worker, task: &Header, lack: Lack, kind: Kind) -> Result<Site, Lack> {
    let spare = rt.take_spare(worker.os_cpu, lack.leaves()).ok_or(lack)?;
    rt.bind_first(spare, kind);
    spare.identity.hold(Some(task));
    task.bind(spare);
    Ok(Site::There(spare))
}
