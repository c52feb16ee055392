//! Balancing between busy CPUs: equal tasks get about equal shares of the machine, not of their CPUs.
//!
//! A CPU on which movable tasks wait compares itself with one other CPU now and then. If the tasks of a class have had
//! less here than there, by more than a tolerance, one that waits here moves there. It arrives with what it is owed (see
//! [`axis`](crate::scheduler)), and from now on the other CPU is the more crowded one. So tasks that cannot be divided
//! evenly take turns: of three on two CPUs, each has a CPU to itself for a third of the time.
//!
//! Only clocks are compared, so nobody has to know what higher classes, caps, sleep or weights leave of a CPU: all of
//! that shows in how fast the clock of a class runs. The idea of equal progress on all CPUs is that of distributed
//! weighted round robin (Li, Baumberger, Hahn, PPoPP 2009); clocks with a tolerance take the place of its rounds, as they
//! need no second queue and no task has to wait for the end of a round.
//!
//! All work is done by the CPU on which tasks wait, when it decides anyway. A CPU with one task is not bothered, unless
//! it gets another.

use lock_api::RawMutex;

use super::{Executor, Held, Turn};
use crate::api::{Duration, Task, Timestamp};
use crate::intent::QueueType;
use crate::optimizer::IDLE_RANK;
use crate::policy::{Claim, MOST_OWED, TaskKey, virtual_length};
use crate::scheduler::state::CpuState;

/// How often, at most, a CPU compares itself with another.
const INTERVAL: Duration = Duration::from_millis(20);

/// The same if nothing that waited could have moved; less than a slice.
const SOON: Duration = Duration::from_millis(5);

/// The same after it has given a task away: the next comparison shows what came of it.
const REST: Duration = Duration::from_millis(100);

/// How much service a task may be behind those of another CPU before it moves there.
const TOLERANCE: Duration = Duration::from_millis(50);

/// How many waiting tasks are looked at for one that may move. As every task is among the last of its queue when it has
/// just run, none stays unseen for ever.
const MOST_VISITED: u32 = 64;

/// What a CPU remembers of its comparisons.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Balance {
    /// When to compare again.
    pub due: Timestamp,
    /// Comparisons made.
    count: usize,
    /// The last gift: to whom, of which class, and how far ahead the clock there was afterwards.
    gift: Option<(usize, QueueType, i64)>,
}

/// A task has been given away.
struct Given {
    /// The receiver.
    pub to: usize,
    /// Whether it must be interrupted.
    pub interrupt: bool,
}

impl Balance {
    /// The number of the comparison that is made now.
    fn begin(&mut self, now: Timestamp) -> usize {
        self.due = now + INTERVAL;
        self.count = self.count.wrapping_add(1);
        self.count
    }
}

impl<C: Copy, R: RawMutex> Executor<C, R> {
    /// Compares this CPU with another, and gives that one a task if it is ahead. `last`: the task that waits is all that this CPU
    /// will have.
    #[cold]
    pub(super) fn compare<'a>(
        &'a self,
        mut state: Held<'a, C, R>,
        turn: &mut Turn,
        last: bool,
        now: Timestamp,
    ) -> Held<'a, C, R> {
        let cpu = state.cpu;
        let count = state.balance.begin(now);
        if self.cpu_count() == 1 {
            return state;
        }
        drop(state);
        let given = self.balance(cpu, count, last, now);
        turn.receiver = given.as_ref().map(|given| given.to);
        let mut state = self.lock(cpu);
        turn.tell(&mut state, given.filter(|given| given.interrupt).map(|given| given.to));
        state
    }

    /// The same, with no lock held. Two locks; O(CPUs) for the choice of the
    /// other, O(log n) for the move.
    fn balance(&self, cpu: usize, count: usize, last: bool, now: Timestamp) -> Option<Given> {
        let other = self.counterpart(cpu, count)?;
        let (mut from, mut to) = self.lock_two(cpu, other);
        from.charge(now);
        to.charge(now);
        if (to.current.is_none() && to.ready.is_empty()) || !to.is_online() {
            // It looks for work itself, or takes none.
            return None;
        }
        let mut any = false;
        for class in QueueType::ALL {
            let Some(key) = self.movable(&from, class, other, true) else { continue };
            any = true;
            if !behind(&mut from, &mut to, class, key, last) {
                continue;
            }
            let task = from.task(key);
            task.note_gift();
            let wake = self.move_task(&mut from, &mut to, key, now).ok()?;
            self.publish(&mut from);
            self.publish(&mut to);
            remember(&mut from, &mut to, class, now);
            return Some(Given { to: other, interrupt: wake.interrupt || wake.until.is_some() });
        }
        if !any {
            // The one that may move was running, perhaps: after the next slice it waits.
            from.balance.due = now + SOON;
        }
        None
    }

    /// The CPU to compare with: by turns the one with the fewest tasks, which is likely to be ahead, and each of the others.
    fn counterpart(&self, cpu: usize, count: usize) -> Option<usize> {
        let cpus = self.cpu_count();
        let busy = |&other: &usize| {
            let load = self.load(other);
            (load.running != IDLE_RANK || load.ready > 0) && !load.is_offline()
        };
        let next = |distance: usize| (cpu + distance) % cpus;
        let turn = (count % 2 == 1 && cpus > 2).then(|| next(1 + count / 2 % (cpus - 1)));
        turn.filter(busy).or_else(|| (1..cpus).map(next).filter(busy).min_by_key(|&other| self.load(other).tasks()))
    }

    /// A task of `class` that waits here and may move to `other`. `settled`: not one that has been given away twice and has not run
    /// since.
    fn movable(&self, from: &CpuState<C>, class: QueueType, other: usize, settled: bool) -> Option<TaskKey> {
        if !from.stealable.contains(class) {
            return None;
        }
        let (mut found, mut left) = (None, MOST_VISITED);
        from.classes[class.rank()].policy.visit(&mut |key| {
            let may_move = |task: &&Task<C>| {
                task.may_be_stolen() && task.affinity.contains(other) && (!settled || task.may_be_given())
            };
            let task = from.get(key).filter(may_move);
            found = task.filter(|_| !self.is_unsaved(from, key)).map(|_| key);
            left -= 1;
            found.is_some() || left == 0
        });
        found
    }

    /// Balances the number of tasks once: the CPU with the most gives one to the CPU with the fewest, if they are at least
    /// two apart. Answers the receiver, which must be interrupted. For hosts and tests: CPUs balance by themselves, and
    /// better.
    pub fn load_balance(&self, now: Timestamp) -> Option<usize> {
        let online = |&cpu: &usize| !self.load(cpu).is_offline();
        let cpus = || (0..self.cpu_count()).filter(online);
        let busiest = cpus().max_by_key(|&cpu| (self.load(cpu).tasks(), usize::MAX - cpu))?;
        let idlest = cpus().min_by_key(|&cpu| (self.load(cpu).tasks(), cpu))?;
        if self.load(busiest).tasks() < self.load(idlest).tasks() + 2 {
            return None;
        }
        let (mut from, mut to) = self.lock_two(busiest, idlest);
        let key = QueueType::ALL.into_iter().find_map(|class| self.movable(&from, class, to.seat, false))?;
        let _ = self.move_task(&mut from, &mut to, key, now).ok()?;
        self.publish(&mut from);
        self.publish(&mut to);
        Some(idlest)
    }
}

/// Whether `key`, which waits in `class` on `from`, should go to `to`. `last`: nothing else is left on `from`.
fn behind<C>(from: &mut CpuState<C>, to: &mut CpuState<C>, class: QueueType, key: TaskKey, last: bool) -> bool {
    let entity = from.task(key).sched.entity;
    let Claim { own, whole } = from.classes[class.rank()].policy.weight_of(&entity);
    let (here, there) = match (from.progress(class), to.progress(class)) {
        (Some(here), Some(there)) if there.weight > 0 => (here, there),
        // No clocks to compare: it is better off where only less urgent tasks are, or two tasks less.
        _ => {
            if last {
                return false;
            }
            let (mine, theirs) = (from.summary(), to.summary());
            let less_urgent = theirs.running.min(theirs.waiting) > class as u8;
            // Where a class above shares, little is left for this one.
            let taken = QueueType::ALL.into_iter().take_while(|&above| above < class);
            let taken = taken.filter_map(|above| to.progress(above)).any(|above| above.weight > 0);
            return less_urgent || (!taken && mine.tasks() >= theirs.tasks() + 2);
        }
    };
    let gap = there.mean.wrapping_sub(here.mean);
    let before = from.balance.gift.filter(|&(cpu, of, _)| (cpu, of) == (to.cpu, class));
    if gap < virtual_length(TOLERANCE, whole) {
        if before.is_some() {
            from.balance.gift = None;
        }
        return false;
    }
    // After a gift the gap closes by itself, if slowly.
    if before.is_some_and(|(_, _, then)| gap < then) {
        return false;
    }
    // One that is alone goes in exchange for another. If its weight deserves more than a CPU, nobody is worth that.
    if here.weight <= i64::from(own) && there.weight < i64::from(own) {
        return false;
    }
    from.forgive(class, (gap - virtual_length(MOST_OWED, whole)).max(0));
    true
}

/// Determines when and how `from`, which has just given a task away, goes on comparing.
fn remember<C>(from: &mut CpuState<C>, to: &mut CpuState<C>, class: QueueType, now: Timestamp) {
    let (Some(here), Some(there)) = (from.progress(class), to.progress(class)) else { return };
    from.balance.gift = Some((to.cpu, class, there.mean.wrapping_sub(here.mean)));
    if here.weight <= there.weight {
        from.balance.due = now + REST;
    }
}
