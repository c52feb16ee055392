//! What a host does: it asks the core when something is due, and does what the core says.

use dis_core::api::Timestamp;
use dis_core::executor::{Decision, Leave, Wake};

use super::{NEVER, Simulation};
use crate::agenda::Due;
use crate::error::SimError;
use crate::kernel::Kernel;
use crate::schedule::ScheduleKind;
use crate::trace::{Departure, TraceEvent, TraceKind};

/// A CPU of the machine. Times in ns, [`NEVER`] for none.
#[derive(Debug, Clone)]
pub(crate) struct Cpu {
    current: Option<u32>,
    /// When the step that the running task computes is complete; `NEVER` while idle.
    work_end: u64,
    /// It switches until then and hears nothing.
    switching: Option<u64>,
    /// When the timer fires.
    until: u64,
    /// Since when an interrupt is pending.
    interrupt: u64,
}

impl Default for Cpu {
    fn default() -> Cpu {
        Cpu { current: None, work_end: NEVER, switching: None, until: NEVER, interrupt: NEVER }
    }
}

impl Cpu {
    fn due(&self) -> Due {
        if let Some(at) = self.switching {
            return Due { at, rank: 0 };
        }
        let timer = self.until.min(self.interrupt);
        if self.work_end <= timer { Due { at: self.work_end, rank: 0 } } else { Due { at: timer, rank: 1 } }
    }
}

/// What the running task does next.
pub(super) enum Flow {
    /// The next step, at the same instant.
    On,
    /// Computes for so long, ns.
    Run(u64),
    /// Gives up the CPU.
    Leave(Leave),
}

/// Most steps and calls without time passing, and how many more for each task.
const MOST_AT_ONCE: u64 = 1_000_000;
const MOST_AT_ONCE_EACH: u64 = 1_000;

impl<K: Kernel> Simulation<'_, K> {
    /// Something is due on a CPU now.
    pub(super) fn serve(&mut self, cpu: usize) -> Result<(), SimError> {
        let here = &mut self.cpus[cpu];
        if here.switching.take().is_some() {
            self.saved(cpu);
        } else if here.work_end > self.now {
            self.ask(cpu, Leave::Ask)?;
        }
        self.act(cpu)?;
        self.agenda.set(cpu, self.cpus[cpu].due());
        Ok(())
    }

    /// The running task does its next steps until one takes time or gives up the CPU to one that goes on computing.
    fn act(&mut self, cpu: usize) -> Result<(), SimError> {
        loop {
            let here = &self.cpus[cpu];
            let Some(me) = here.current else { return Ok(()) };
            if here.work_end > self.now || here.switching.is_some() {
                return Ok(());
            }
            self.since_tick += 1;
            if self.since_tick > MOST_AT_ONCE + MOST_AT_ONCE_EACH * self.actors.len() as u64 {
                return Err(SimError::TimeStands { at: self.now(), task: self.name(me) });
            }
            match self.step(me, cpu)? {
                Flow::On => {}
                Flow::Run(ns) => self.cpus[cpu].work_end = self.now.saturating_add(ns).min(NEVER - 1),
                Flow::Leave(leave) => self.ask(cpu, leave)?,
            }
        }
    }

    /// Asks the core and does what it says.
    fn ask(&mut self, cpu: usize, leave: Leave) -> Result<(), SimError> {
        self.events += 1;
        let now = Timestamp::from_nanos(self.now);
        let here = &self.cpus[cpu];
        let before = here.current;
        if let Some(task) = before {
            self.actors[task as usize].left = here.work_end.saturating_sub(self.now);
        }
        let answer = self.kernel.schedule(cpu, now, leave);
        let decision = answer.map_err(|error| SimError::Kernel { at: now, cpu, error })?;
        if self.recorder.is_some() {
            self.record(cpu, before, leave, &decision);
        }
        let next = decision.next.map(|next| next.context);
        if let Some(before) = before.filter(|_| leave == Leave::Ask && next != before) {
            self.actors[before as usize].preempted = true;
        }
        let until = decision.until.map_or(NEVER, |at| self.timer(at));
        let here = &mut self.cpus[cpu];
        here.current = next;
        here.interrupt = NEVER;
        here.until = until;
        match decision.next {
            Some(next) if next.switch => self.switch_to(cpu, next.context),
            Some(next) => here.work_end = self.now.saturating_add(self.actors[next.context as usize].left),
            None => {
                here.work_end = NEVER;
                if decision.vacate {
                    self.saved(cpu);
                }
            }
        }
        if let Some(other) = decision.interrupt {
            self.interrupt(other);
        }
        Ok(())
    }

    fn switch_to(&mut self, cpu: usize, task: u32) {
        let costs = self.costs;
        let actor = &mut self.actors[task as usize];
        let moved = actor.last_cpu.replace(cpu as u16).is_some_and(|last| usize::from(last) != cpu);
        let preempted = std::mem::take(&mut actor.preempted);
        let more = match (moved, preempted) {
            (true, _) => costs.migration,
            (false, true) => costs.preemption,
            (false, false) => dis_core::api::Duration::ZERO,
        };
        actor.left = actor.left.saturating_add(more.as_nanos());
        let begins = self.now.saturating_add(costs.switch.as_nanos());
        let here = &mut self.cpus[cpu];
        here.work_end = begins.saturating_add(actor.left).min(NEVER - 1);
        if begins > self.now {
            here.switching = Some(begins);
        } else {
            self.saved(cpu);
        }
    }

    /// The registers of the task that ran before are saved.
    fn saved(&mut self, cpu: usize) {
        if self.kernel.switched(cpu) {
            self.interrupt(cpu);
        }
    }

    /// When a timer set to `at` fires.
    fn timer(&self, at: Timestamp) -> u64 {
        match self.costs.timer_resolution.as_nanos() {
            0 => at.as_nanos(),
            step => at.as_nanos().checked_next_multiple_of(step).unwrap_or(NEVER),
        }
    }

    fn interrupt(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        here.interrupt = here.interrupt.min(self.now);
        self.agenda.set(cpu, here.due());
    }

    pub(crate) fn obey(&mut self, wake: Wake) {
        if let Some(at) = wake.until {
            let at = self.timer(at);
            let here = &mut self.cpus[wake.cpu];
            here.until = here.until.min(at);
            self.agenda.set(wake.cpu, here.due());
        }
        if wake.interrupt {
            self.interrupt(wake.cpu);
        }
    }

    /// A task that waited for another one goes on.
    pub(crate) fn unpark(&mut self, task: u32) {
        self.events += 1;
        if let Ok(wake) = self.kernel.unpark(Timestamp::from_nanos(self.now), self.actors[task as usize].id) {
            self.obey(wake);
        }
    }

    /// Tells recorder and trace what a decision means.
    #[cold]
    fn record(&mut self, cpu: usize, before: Option<u32>, leave: Leave, decision: &Decision<u32>) {
        let next = decision.next.map(|next| next.context);
        let stays = next == before && matches!(leave, Leave::Ask | Leave::Yield);
        if let Some(recorder) = &mut self.recorder {
            if let (Some(before), Leave::Block(..) | Leave::Sleep(_)) = (before, leave) {
                let job = self.actors[before as usize].job;
                recorder.stops(self.now, cpu, (before, job), ScheduleKind::Block);
            }
            recorder.runs(cpu, next.map(|next| (next, self.actors[next as usize].job)));
        }
        if let Some(trace) = self.trace.as_mut().filter(|_| !stays) {
            let at = Timestamp::from_nanos(self.now);
            if let Some(before) = before {
                let departure = match leave {
                    Leave::Yield => Departure::Yielded,
                    Leave::Block(..) => Departure::Blocked,
                    Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_) => Departure::Sleeping,
                    Leave::Exit(_) => Departure::Ended,
                    Leave::Ask | Leave::Declined => Departure::Preempted,
                };
                trace.push(TraceEvent { at, cpu, kind: TraceKind::Left(before, departure) });
            }
            if let Some(next) = decision.next {
                let kind = TraceKind::Started {
                    task: next.context,
                    class: next.class,
                    reason: decision.reason,
                    lost: decision.lost,
                    waited: next.waited.as_nanos(),
                };
                trace.push(TraceEvent { at, cpu, kind });
            }
        }
    }
}
