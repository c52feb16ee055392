//! What a host does: it lets time pass, asks, and does what the core says.

use dis_core::api::CpuMask;
use dis_core::executor::{Decision, Leave, Reason};

use super::actor::Op::*;
use super::{Event, Machine, at};

impl Machine {
    /// Lets time pass up to `end`, and everything happen that falls due until then, `end` included.
    pub fn run_until(&mut self, end: u64) {
        let mut at_once = 0;
        loop {
            let action = self.actions.iter().map(|&(t, _)| t).min();
            let cpu = (0..self.cpus.len()).filter_map(|cpu| Some((self.due(cpu)?, cpu))).min();
            let next = action.into_iter().chain(cpu.map(|(t, _)| t)).min();
            let Some(t) = next.filter(|&t| t <= end) else { break };
            assert!(t >= self.now, "time goes back");
            at_once = if t == self.now { at_once + 1 } else { 0 };
            assert!(at_once < 10_000, "CPUs interrupt each other for ever at {t}");
            self.now = t;
            if action == Some(t) {
                let first = self.actions.iter().position(|&(when, _)| when == t).expect("there is one");
                let (_, action) = self.actions.remove(first);
                action(self);
            } else if let Some((_, cpu)) = cpu {
                self.serve(cpu);
            }
        }
        self.now = self.now.max(end);
        if self.checked && self.is_quiet() {
            self.check();
            self.check_work_is_conserved();
            self.check_order();
        }
    }

    pub fn run_for(&mut self, span: u64) {
        self.run_until(self.now + span);
    }

    /// When something is due on a CPU.
    fn due(&self, cpu: usize) -> Option<u64> {
        let here = &self.cpus[cpu];
        if here.saving.is_some() {
            return here.saving;
        }
        let work = here.current.and_then(|(task, _)| {
            let actor = &self.actors[task];
            (!actor.script.is_empty()).then(|| here.mark + actor.left.unwrap_or(0))
        });
        [work, here.until, here.interrupt].into_iter().flatten().min().map(|t| t.max(self.now))
    }

    fn serve(&mut self, cpu: usize) {
        if self.cpus[cpu].saving.take().is_some() {
            self.saved(cpu);
            self.check();
            return;
        }
        self.progress(cpu);
        // A step that ends at this instant ends before a timer of the same instant: a job that needs its whole budget
        // is finished, not late.
        let here = &self.cpus[cpu];
        let ended = here.current.is_some_and(|(task, _)| self.actors[task].left == Some(0));
        if ended {
            self.act(cpu);
            return;
        }
        let interrupted = here.interrupt.is_some_and(|t| t <= self.now);
        if interrupted || here.until.is_some_and(|t| t <= self.now) {
            if !interrupted {
                self.check_calm(cpu);
            }
            self.ask(cpu, Leave::Ask);
            return;
        }
        self.act(cpu);
    }

    /// Counts what the running task has done.
    fn progress(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        if let Some((task, _)) = here.current {
            let ran = self.now - here.mark;
            if let Some(left) = &mut self.actors[task].left {
                *left -= ran.min(*left);
            }
        }
        here.mark = self.now;
    }

    /// The running task does its next steps until one takes time.
    fn act(&mut self, cpu: usize) {
        let (task, _) = self.cpus[cpu].current.expect("somebody runs");
        loop {
            let actor = &mut self.actors[task];
            if actor.left.is_some_and(|left| left > 0) {
                return;
            }
            if actor.left.take().is_some() {
                actor.step += 1;
            }
            if actor.step >= actor.script.len() {
                actor.step = 0;
            }
            let (step, op) = (actor.step, actor.script[actor.step]);
            actor.done[step] += 1;
            actor.step += 1;
            let leave = match op {
                Run(ns) => {
                    actor.step -= 1;
                    actor.left = Some(ns);
                    continue;
                }
                Goto(step) => {
                    actor.step = step;
                    continue;
                }
                Unpark(other) => {
                    let _ = self.unpark(other);
                    None
                }
                Wake(other) => {
                    let _ = self.wake(other);
                    None
                }
                Kill(other) => {
                    let _ = self.kill(other);
                    None
                }
                Sleep(span) => Some(Leave::Sleep(at(self.now + span))),
                Block(why) => Some(Leave::Block(why, None)),
                BlockFor(why, span) => Some(Leave::Block(why, Some(at(self.now + span)))),
                Yield => Some(Leave::Yield),
                NextPeriod => Some(Leave::NextPeriod),
                NextJob(span) => Some(Leave::NextJob(at(self.now + span))),
                Exit(code) => Some(Leave::Exit(code)),
            };
            match leave {
                Some(leave) => {
                    self.ask(cpu, leave);
                    return;
                }
                // An interrupt that the step has caused comes first.
                None if self.cpus[cpu].interrupt.is_some_and(|t| t <= self.now) => return,
                None => {}
            }
        }
    }

    /// Asks the core and does what it says.
    pub fn ask(&mut self, cpu: usize, leave: Leave) -> Decision<u32> {
        assert!(self.is_free(cpu), "a host that saves registers does not ask");
        self.progress(cpu);
        self.count_time(cpu);
        self.pass_time();
        let ran = self.ran(cpu);
        let unsaved = self.cpus[cpu].unsaved.map(|task| self.actors[task].id);
        let waiter = self.waiter.take().filter(|_| matches!(leave, Leave::Exit(_)));
        let decision = match (leave, waiter) {
            (Leave::Exit(code), Some(waiter)) => {
                // Whether it was blocked just then is the core's affair.
                self.actors[waiter].token = None;
                self.executor.exit_and_unpark(cpu, at(self.now), code, self.actors[waiter].id)
            }
            _ => self.executor.schedule(cpu, at(self.now), leave),
        };
        let decision = decision.expect("a CPU that may ask");
        self.events += 1;
        self.log(cpu, leave, &decision);
        // Whoever could not be let go before has been by now.
        for (actor, seen) in self.actors.iter_mut().zip(&self.seen) {
            let here = seen.as_ref().is_some_and(|seen| seen.home == cpu);
            actor.leaving &= !here || unsaved == Some(actor.id);
        }
        if let Some(ran) = &ran {
            self.count_leave(cpu, ran, leave, &decision);
        }
        let here = &mut self.cpus[cpu];
        here.interrupt = None;
        here.until = decision.until.map(|t| t.as_nanos());
        assert!(here.until.is_none_or(|t| t > self.now), "the core asks for an answer in the past");
        if let Some((task, _)) = here.current {
            here.unsaved = Some(task);
        }
        let live = here.unsaved;
        here.current = decision.next.map(|next| (next.context as usize, next.class));
        match decision.next {
            Some(next) => {
                let task = next.context as usize;
                assert_eq!(next.id, self.actors[task].id);
                assert_eq!(next.switch, live != Some(task), "whether registers are to be loaded");
                let elsewhere = (0..self.cpus.len()).find(|&c| c != cpu && self.cpus[c].unsaved == Some(task));
                assert_eq!(elsewhere, None, "task {task} runs on {cpu}, its registers are elsewhere");
                let affinity = self.task(task, |t| t.reserved_on().map_or(t.affinity, CpuMask::single));
                assert!(affinity.contains(cpu), "task {task} runs on {cpu}, allowed are {affinity}");
                assert!(self.executor.is_online(cpu), "task {task} runs on {cpu}, which is offline");
                self.begin_turn(cpu, next.class, decision.reason);
                if next.switch {
                    self.count_switch(cpu, task);
                    self.save(cpu);
                } else {
                    self.cpus[cpu].unsaved = None;
                }
            }
            None if decision.vacate => self.save(cpu),
            None => {}
        }
        if let Some(other) = decision.interrupt {
            assert_ne!(other, cpu);
            self.interrupt(other);
        }
        self.unparked = waiter;
        self.look(true);
        self.unparked = None;
        if let (Some(ran), Leave::Yield | Leave::Sleep(_) | Leave::NextPeriod | Leave::NextJob(_)) = (&ran, leave) {
            self.begin_request(ran.task);
        }
        if let Some(next) = decision.next {
            self.check_first(cpu, next.context as usize, next.class);
            if decision.reason != Reason::Continue {
                self.check_eligible(cpu, next.context as usize, next.class);
            }
        }
        decision
    }

    /// Counts CPU time as the core does: from decision to decision.
    fn count_time(&mut self, cpu: usize) {
        let here = &mut self.cpus[cpu];
        let from = std::mem::replace(&mut here.charged, self.now);
        if let Some((task, _)) = here.current
            && self.now > from
        {
            here.busy += self.now - from;
            let actor = &mut self.actors[task];
            actor.cpu_time += self.now - from;
            match actor.runs.last_mut() {
                Some((_, to, on)) if *to == from && *on == cpu => *to = self.now,
                _ => actor.runs.push((from, self.now, cpu)),
            }
        }
    }

    fn log(&mut self, cpu: usize, leave: Leave, decision: &Decision<u32>) {
        if self.trace.len() >= self.keep {
            self.trace.pop_front();
        }
        self.trace.push_back(Event {
            t: self.now,
            cpu,
            task: decision.next.map(|next| next.context as usize),
            class: decision.next.map(|next| next.class),
            reason: decision.reason,
            lost: decision.lost,
            waited: decision.next.map_or(0, |next| next.waited.as_nanos()),
            switch: decision.next.is_some_and(|next| next.switch),
            until: decision.until.map(|t| t.as_nanos()),
            leave,
            interrupt: decision.interrupt,
        });
    }
}
