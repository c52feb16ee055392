//! CPUs that go offline and come back, and what must hold of them.

use dis_core::api::{SchedResult, TaskId};
use dis_core::scheduler::{Offline, Online};

use super::{Machine, at};

/// What a task holds.
struct Held {
    on: Option<usize>,
    split: bool,
    /// It may run anywhere, as its own CPUs are offline.
    stray: bool,
}

impl Machine {
    /// Takes a CPU away: whoever is there goes elsewhere, and nobody else's reservation moves.
    pub fn set_offline(&mut self, cpu: usize) -> SchedResult<Offline> {
        let before = self.held();
        let answer = self.executor.set_offline(cpu, at(self.now))?;
        self.offline_at = Some(self.now);
        answer.interrupts.iter().for_each(|cpu| self.interrupt(cpu));
        for (task, (was, is)) in before.iter().zip(self.held()).enumerate() {
            let moves = was.on != is.on && !was.split;
            assert!(!moves || was.on == Some(cpu), "the reservation of {task} moves from {:?} to {:?}", was.on, is.on);
        }
        for rejection in &answer.displaced {
            self.displaced.insert(self.number(rejection.task));
        }
        for &stray in &answer.strays {
            let own = self.task(self.number(stray), |t| t.intent.constraints.cpu_affinity).expect("it had a mask");
            assert!(!own.iter().any(|cpu| self.executor.is_online(cpu)), "{stray} may run on {own}");
        }
        self.check();
        Ok(answer)
    }

    /// Gives a CPU back. Whoever holds something keeps it, but for those who go back to their own CPUs.
    pub fn set_online(&mut self, cpu: usize) -> SchedResult<Online> {
        let before = self.held();
        let answer = self.executor.set_online(cpu, at(self.now))?;
        answer.interrupts.iter().for_each(|cpu| self.interrupt(cpu));
        for (task, (was, is)) in before.iter().zip(self.held()).enumerate() {
            let moves = was.on.is_some() && was.on != is.on && !was.split && !was.stray;
            assert!(!moves, "the reservation of {task} moves from {:?} to {:?}", was.on, is.on);
        }
        for &id in &answer.placed {
            assert!(self.displaced.remove(&self.number(id)), "{id} had its place");
        }
        self.check();
        Ok(answer)
    }

    fn number(&self, id: TaskId) -> usize {
        self.actors.iter().position(|actor| actor.id == id).expect("a task of this machine")
    }

    fn held(&self) -> Vec<Held> {
        let none = Held { on: None, split: false, stray: false };
        let held = |id| {
            self.executor.with_task(id, |task| Held {
                on: task.reserved_on(),
                split: task.is_split(),
                stray: task.intent.constraints.cpu_affinity.is_some_and(|own| own != task.affinity),
            })
        };
        let mut all = Vec::new();
        all.extend(self.actors.iter().map(|actor| held(actor.id).unwrap_or(Held { ..none })));
        all
    }

    /// Nobody is at home on a CPU that is offline, but for those that have not left it yet, which no queue holds; everybody may
    /// run somewhere, and holds what it has reserved unless it was told otherwise.
    pub(super) fn check_offline(&self) {
        for (number, seen) in self.seen.iter().enumerate() {
            let Some(seen) = seen.as_ref().filter(|seen| !seen.state.has_ended()) else { continue };
            let here = &self.cpus[seen.home];
            let live = here.current.is_some_and(|(task, _)| task == number) || here.unsaved == Some(number);
            let leaves = live || self.asks_soon(seen.home);
            let stays = self.executor.is_online(seen.home) || (leaves && !seen.queued);
            assert!(stays, "task {number} is {} on {}, which is offline", seen.state, seen.home);
            assert!(!seen.affinity.is_empty(), "task {number} may run nowhere: {seen:?}");
            let holds = seen.reserved.is_some() || self.displaced.contains(&number);
            assert_eq!(holds, seen.reserves(), "task {number}: {seen:?}");
        }
        let off = |&cpu: &usize| !self.executor.is_online(cpu) && self.is_quiet() && !self.asks_soon(cpu);
        for cpu in (0..self.cpus.len()).filter(off) {
            assert!(self.executor.is_vacant(cpu), "CPU {cpu} is offline and not vacant at {}", self.now);
        }
    }

    /// Whether a CPU is about to ask.
    fn asks_soon(&self, cpu: usize) -> bool {
        let here = &self.cpus[cpu];
        here.interrupt.is_some() || here.until.is_some_and(|t| t <= self.now + 1)
    }
}
