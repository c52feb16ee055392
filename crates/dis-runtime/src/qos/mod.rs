//! What an intent limits beside the CPU: memory, bandwidths, the urgency of requests to disk and network.
//!
//! All of it belongs to a task from its spawn to its end. A future whose intent has any of it gets a task of its own, so that there is
//! one way for both.

pub(crate) mod bucket;
mod cgroup;
pub(crate) mod disk;
pub mod io;
pub mod memory;
pub mod net;
pub(crate) mod resctrl;

use std::path::Path;

use dis_core::api::SchedError;
use dis_core::intent::{Intent, IntentConstraints, IoPriority, QosParameters};

use crate::api::here;
use bucket::Bucket;
use memory::Account;
use resctrl::Group;

/// The limits of one task.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) memory: Option<Account>,
    pub(crate) io: Option<Bucket>,
    pub(crate) net_priority: u8,
    io_priority: IoPriority,
    mem_bandwidth: Option<Group>,
}

impl Limits {
    /// What of an intent is to be enforced here; `None`: nothing. With `best_effort` what cannot be is taken out of the intent.
    ///
    /// # Errors
    /// [`SchedError::NotSupported`] with the name of the constraint and the reason.
    pub(crate) fn of(intent: &mut Intent, best_effort: bool) -> Result<Option<Box<Limits>>, SchedError> {
        let mut limits = Limits::default();
        let mut any = false;
        let mut settle = |given: bool, check: &mut dyn FnMut(&mut Limits) -> Result<(), &'static str>| {
            if !given {
                return Ok(true);
            }
            match check(&mut limits) {
                Ok(()) => any = true,
                Err(_) if best_effort => return Ok(false),
                Err(why) => return Err(SchedError::NotSupported(why)),
            }
            Ok(true)
        };
        let (c, q) = (&mut intent.constraints, &mut intent.qos);
        let max = c.max_memory;
        if !settle(max.is_some(), &mut |l| Account::new(max).map(|account| l.memory = account))? {
            c.max_memory = None;
        }
        let disk = c.io_priority;
        let permitted = &mut |l: &mut Limits| disk::permitted(disk).map(|()| l.io_priority = disk);
        if !settle(disk != IoPriority::BestEffort, permitted)? {
            c.io_priority = IoPriority::BestEffort;
        }
        let packets = c.net_priority;
        if !settle(packets != 0, &mut |l| net::permitted(packets).map(|()| l.net_priority = packets))? {
            c.net_priority = 0;
        }
        let rate = q.mem_bandwidth;
        let group =
            &mut |l: &mut Limits| Group::new(Path::new(resctrl::ROOT), rate).map(|group| l.mem_bandwidth = group);
        if !settle(rate.is_some(), group)? {
            q.mem_bandwidth = None;
        }
        let rate = q.io_bandwidth;
        settle(rate.is_some(), &mut |l| {
            l.io = rate.map(Bucket::new);
            Ok(())
        })?;
        Ok(any.then(|| Box::new(limits)))
    }

    /// Whether the task needs a kernel thread that no other task uses, so that what the kernel does for the thread is done for it.
    pub(crate) fn need_thread(&self) -> bool {
        self.io_priority != IoPriority::BestEffort || self.mem_bandwidth.is_some()
    }

    /// The task begins on the calling thread, which it has to itself until the answer is dropped.
    pub(crate) fn begin(&self) -> Begun<'_> {
        if self.io_priority != IoPriority::BestEffort {
            disk::set(self.io_priority);
        }
        if let Some(group) = &self.mem_bandwidth {
            group.enter();
        }
        Begun(self)
    }
}

/// A task with limits runs on this thread.
pub(crate) struct Begun<'a>(&'a Limits);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if self.0.io_priority != IoPriority::BestEffort {
            disk::set(IoPriority::BestEffort);
        }
        if let Some(group) = &self.0.mem_bandwidth {
            group.leave();
        }
    }
}

/// The running task's limits.
pub(crate) fn of_running() -> Option<&'static Limits> {
    here().and_then(|(_, task)| task.limits.as_deref())
}

/// A change of intent keeps the limits that the spawn has set: another one is refused, and none means the same as before.
pub(crate) fn keep(intent: &mut Intent, (old, old_q): (IntentConstraints, QosParameters)) -> Result<(), SchedError> {
    let (c, q) = (&mut intent.constraints, &mut intent.qos);
    let differs =
        |given: bool, same: bool, why| if given && !same { Err(SchedError::NotSupported(why)) } else { Ok(()) };
    differs(c.max_memory.is_some(), c.max_memory == old.max_memory, "max_memory: settled when a task is spawned")?;
    let given = c.io_priority != IoPriority::BestEffort;
    differs(given, c.io_priority == old.io_priority, "io_priority: settled when a task is spawned")?;
    differs(c.net_priority != 0, c.net_priority == old.net_priority, "net_priority: settled when a task is spawned")?;
    let same = q.mem_bandwidth == old_q.mem_bandwidth;
    differs(q.mem_bandwidth.is_some(), same, "mem_bandwidth: settled when a task is spawned")?;
    let same = q.io_bandwidth == old_q.io_bandwidth;
    differs(q.io_bandwidth.is_some(), same, "io_bandwidth: settled when a task is spawned")?;
    (c.max_memory, c.io_priority, c.net_priority) = (old.max_memory, old.io_priority, old.net_priority);
    (q.mem_bandwidth, q.io_bandwidth) = (old_q.mem_bandwidth, old_q.io_bandwidth);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{Runtime, SpawnError};

    /// What this process or this machine may not have is refused at the spawn, by its name; a task that says `best_effort` runs without it.
    /// In a process of its own, as what the system permits is found out once for each.
    #[test]
    fn what_is_not_permitted_is_refused_at_the_spawn() {
        const CHILD: &str = "DIS_TEST_WITHOUT_RIGHTS";
        if std::env::var_os(CHILD).is_none() {
            let name = "qos::tests::what_is_not_permitted_is_refused_at_the_spawn";
            let mut child = Command::new(std::env::current_exe().unwrap());
            let child = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
            let said = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
            assert!(child.status.success(), "{}{}", said(&child.stdout), said(&child.stderr));
            return;
        }
        crate::sys::drop_capabilities().unwrap();
        let rt = Runtime::builder().workers(1).build().unwrap();
        let refused = |name: &str, change: fn(&mut Intent)| {
            let mut intent = Intent::batch();
            change(&mut intent);
            match rt.spawn_fn(intent.clone(), || ()) {
                Err(SpawnError::Refused(SchedError::NotSupported(why))) => assert!(why.starts_with(name), "{why}"),
                Err(other) => panic!("{name}{other}"),
                Ok(_) => panic!("{name}accepted"),
            }
            rt.task(intent).best_effort().spawn(|| ()).unwrap().join().unwrap();
        };
        refused("io_priority: ", |intent| intent.constraints.io_priority = IoPriority::Realtime);
        refused("net_priority: ", |intent| intent.constraints.net_priority = 7);
        // Its test program has not the allocator.
        refused("max_memory: ", |intent| intent.constraints.max_memory = Some(1 << 20));
        if !Path::new(resctrl::ROOT).join("schemata").exists() {
            refused("mem_bandwidth: ", |intent| intent.qos.mem_bandwidth = Some(100));
        }
    }
}
