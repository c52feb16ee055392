//! What tasks do: the steps of their bodies, one after the other.
//!
//! The measurements are those of the other hosts. Wake latency: from the instant at which a sleep, a timer or a release
//! was due, or an event was signalled, to the task's next step. Response: of a periodic task from the release to the end of
//! the pass; of others from the wake-up to the next step that waits for time or an event.

use dis_core::api::{BlockReason, CpuMask, Timestamp};
use dis_core::executor::Leave;
use dis_workload::model::{Action, DistributionId, Scope, Step, TimerId, TimerMode};
use dis_workload::report::Counters;

use super::Simulation;
use super::machine::Flow;
use crate::error::SimError;
use crate::kernel::Kernel;
use crate::schedule::ScheduleKind;
use crate::task::{Pending, Waiting};
use crate::trace::{TraceEvent, TraceKind};

impl<K: Kernel> Simulation<'_, K> {
    /// The next thing that the task, which runs on `cpu`, does.
    pub(super) fn step(&mut self, me: u32, cpu: usize) -> Result<Flow, SimError> {
        let actor = &mut self.actors[me as usize];
        match std::mem::replace(&mut actor.pending, Pending::Nothing) {
            Pending::Nothing => {}
            Pending::Slept(due) => self.resume(me, due, true),
            Pending::Released(release) => {
                if self.now < self.end {
                    actor.record.wake.record(self.now - release);
                }
            }
            Pending::Signalled(at) => self.resume(me, at, true),
            Pending::Relocks(at, mutex) => {
                self.resume(me, at, true);
                if !self.lock(me, mutex)? {
                    return Ok(Flow::Leave(Leave::Block(BlockReason::Mutex, None)));
                }
            }
        }
        let actor = &mut self.actors[me as usize];
        let spec = &self.workload.tasks[actor.spec];
        match actor.walk.next(spec) {
            Action::BeginPass(pass) => Ok(self.begin_pass(me, cpu, pass)),
            Action::Affinity(mask) => {
                let mask = mask.or(spec.intent.constraints.cpu_affinity).unwrap_or(CpuMask::ALL);
                self.set_affinity(me, mask);
                Ok(Flow::On)
            }
            Action::Step(step) => self.execute(me, step),
            Action::EndPass(_) => {
                self.end_pass(me, cpu);
                Ok(Flow::On)
            }
            Action::Exit => Ok(self.exit(me, cpu)),
        }
    }

    fn execute(&mut self, me: u32, step: &Step) -> Result<Flow, SimError> {
        let now = self.now;
        Ok(match *step {
            Step::Run(time) => Flow::Run(time.as_nanos()),
            Step::RunDrawn(id) => {
                let time = self.draw(me, id);
                let actor = &mut self.actors[me as usize];
                let time = time.min(actor.drawable);
                actor.drawable -= time;
                Flow::Run(time)
            }
            Step::Sleep(time) => self.sleep_for(me, time.as_nanos()),
            Step::SleepDrawn(id) => {
                let time = self.draw(me, id);
                self.sleep_for(me, time)
            }
            Step::Yield => Flow::Leave(Leave::Yield),
            Step::Lock(mutex) => match self.lock(me, mutex)? {
                true => Flow::On,
                false => Flow::Leave(Leave::Block(BlockReason::Mutex, None)),
            },
            Step::Unlock(mutex) => {
                self.unlock(me, mutex)?;
                Flow::On
            }
            Step::Signal(event) => {
                let woken = self.shared.events[event.0].signal(false, now);
                self.signalled(woken)
            }
            Step::Broadcast(event) => {
                let woken = self.shared.events[event.0].signal(true, now);
                self.signalled(woken)
            }
            Step::Wait { event, mutex } => {
                self.settle(me);
                if let Some(at) = self.shared.events[event.0].wait(me) {
                    self.resume(me, at, false);
                    return Ok(Flow::On);
                }
                if let Some(mutex) = mutex {
                    self.unlock(me, mutex)?;
                }
                self.wait(me, Waiting::Event(event.0, mutex))
            }
            Step::Barrier(barrier) => {
                self.settle(me);
                match self.shared.barriers[barrier.0].arrive(me) {
                    Some(others) => {
                        self.resume(me, now, false);
                        self.signalled(others)
                    }
                    None => self.wait(me, Waiting::Barrier(barrier.0)),
                }
            }
            Step::Timer { timer, period, mode } => {
                self.settle(me);
                let due = self.tick(me, timer, period.as_nanos(), mode);
                if due > now {
                    return Ok(self.sleep(me, due));
                }
                self.resume(me, due, false);
                Flow::On
            }
        })
    }

    fn begin_pass(&mut self, me: u32, cpu: usize, pass: u64) -> Flow {
        let now = self.now;
        let actor = &mut self.actors[me as usize];
        actor.drawable = actor.most_drawn;
        if actor.period == 0 {
            actor.job = pass + 1;
            let job = actor.job;
            if let Some(recorder) = self.recorder.as_mut().filter(|_| pass > 0) {
                if now < self.end {
                    recorder.push(now, cpu, (me, job), ScheduleKind::Release);
                }
                recorder.runs(cpu, Some((me, job)));
            }
            return Flow::On;
        }
        if pass > 0 {
            // As the core does: releases whose deadlines have passed too are left out, their jobs could only be late.
            let skipped = if let Some(arrivals) = &mut actor.arrivals {
                let (release, skipped) = arrivals.next_in_time(&self.workload.objects, actor.deadline, now);
                actor.release = release;
                skipped
            } else {
                let next = actor.release.saturating_add(actor.period);
                let late = now.saturating_sub(next.saturating_add(actor.deadline));
                let skipped = if late == 0 { 0 } else { late.div_ceil(actor.period) };
                actor.release = next.saturating_add(actor.period.saturating_mul(skipped));
                skipped
            };
            actor.job += 1 + skipped;
        }
        actor.settled = actor.job - 1;
        actor.in_job = true;
        let release = actor.release;
        if actor.grid.is_some() {
            actor.deadlines.begin(actor.job - 1);
        }
        if pass == 0 {
            return Flow::On;
        }
        let waits = release > now;
        if waits {
            actor.pending = Pending::Released(release);
        }
        if actor.periodic {
            return Flow::Leave(match actor.arrivals {
                None => Leave::NextPeriod,
                Some(_) => Leave::NextJob(Timestamp::from_nanos(release)),
            });
        }
        if waits { Flow::Leave(Leave::Sleep(Timestamp::from_nanos(release))) } else { Flow::On }
    }

    fn end_pass(&mut self, me: u32, cpu: usize) {
        let now = self.now;
        let actor = &mut self.actors[me as usize];
        actor.record.jobs += 1;
        actor.settled = actor.job;
        let (job, release) = (actor.job, actor.release);
        if std::mem::take(&mut actor.in_job) {
            if let Some(grid) = &actor.grid {
                actor.deadlines.end(grid, job - 1, release, now);
            }
            self.responded(me, release);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.stops(now, cpu, (me, job), ScheduleKind::Finish);
        }
    }

    fn exit(&mut self, me: u32, cpu: usize) -> Flow {
        self.settle(me);
        let actor = &mut self.actors[me as usize];
        actor.ended = true;
        let stats = self.kernel.task_stats(Timestamp::from_nanos(self.now), actor.id);
        self.used.push((me, stats.as_ref().map(Counters::from).unwrap_or_default()));
        self.live -= 1;
        if let Some(recorder) = &mut self.recorder {
            recorder.runs(cpu, None);
        }
        Flow::Leave(Leave::Exit(0))
    }

    /// A time drawn at random, ns.
    fn draw(&mut self, me: u32, id: DistributionId) -> u64 {
        self.actors[me as usize].draws.draw(id, &self.workload.objects.distributions[id.0]).as_nanos()
    }

    fn sleep_for(&mut self, me: u32, time: u64) -> Flow {
        self.settle(me);
        if time == 0 {
            return Flow::On;
        }
        self.sleep(me, self.now.saturating_add(time))
    }

    fn sleep(&mut self, me: u32, due: u64) -> Flow {
        self.actors[me as usize].pending = Pending::Slept(due);
        Flow::Leave(Leave::Sleep(Timestamp::from_nanos(due)))
    }

    fn wait(&mut self, me: u32, what: Waiting) -> Flow {
        self.actors[me as usize].waits_for = Some(what);
        Flow::Leave(Leave::Block(BlockReason::Event, None))
    }

    fn signalled(&mut self, woken: Vec<u32>) -> Flow {
        for task in woken {
            let actor = &mut self.actors[task as usize];
            actor.pending = match actor.waits_for.take() {
                Some(Waiting::Event(_, Some(mutex))) => Pending::Relocks(self.now, mutex),
                _ => Pending::Signalled(self.now),
            };
            self.unpark(task);
        }
        Flow::On
    }

    fn set_affinity(&mut self, me: u32, mask: CpuMask) {
        self.events += 1;
        let id = self.actors[me as usize].id;
        match self.kernel.set_affinity(Timestamp::from_nanos(self.now), id, mask) {
            Ok(wake) => self.obey(wake),
            Err(error) => {
                let problem = format!("affinity {mask} was refused: {error}");
                self.actors[me as usize].record.problem.get_or_insert(problem);
            }
        }
    }

    /// The task goes on after a wake-up at `since`, for which it was blocked if `waited`.
    fn resume(&mut self, me: u32, since: u64, waited: bool) {
        let actor = &mut self.actors[me as usize];
        if waited && self.now < self.end {
            actor.record.wake.record(self.now.saturating_sub(since));
        }
        actor.since = Some(since);
    }

    /// The work since the last wake-up is done: the task is about to block, or ends. In a periodic task only the whole
    /// pass is a job.
    fn settle(&mut self, me: u32) {
        let actor = &mut self.actors[me as usize];
        if let Some(since) = actor.since.take().filter(|_| !actor.in_job) {
            self.responded(me, since);
        }
    }

    /// A job, or what a wake-up asked for, is done now.
    fn responded(&mut self, me: u32, since: u64) {
        let now = self.now;
        let actor = &mut self.actors[me as usize];
        let response = now.saturating_sub(since);
        actor.record.response.record(response);
        let late = response > actor.deadline;
        // The misses of periodic jobs are counted by their deadlines.
        if late && actor.grid.is_none() {
            actor.record.misses += 1;
            let job = actor.job;
            self.record_miss(now, me, job);
        }
    }

    pub(super) fn record_miss(&mut self, at: u64, task: u32, job: u64) {
        let cpu = self.home(task);
        if let Some(recorder) = &mut self.recorder {
            recorder.push(at, cpu, (task, job), ScheduleKind::Miss);
        }
        if let Some(trace) = &mut self.trace {
            trace.push(TraceEvent { at: Timestamp::from_nanos(at), cpu, kind: TraceKind::Missed(task) });
        }
    }

    /// Moves the timer's reference on and answers when it is due.
    fn tick(&mut self, me: u32, timer: TimerId, period: u64, mode: TimerMode) -> u64 {
        let now = self.now;
        let actor = &mut self.actors[me as usize];
        let origin = actor.origin;
        let shared = self.workload.objects.timers[timer.0].scope == Scope::Workload;
        let reference = if shared {
            self.shared.timers[timer.0].get_or_insert(origin)
        } else {
            let place = actor.timers.iter().position(|(own, _)| *own == timer).unwrap_or_else(|| {
                actor.timers.push((timer, origin));
                actor.timers.len() - 1
            });
            &mut actor.timers[place].1
        };
        let due = reference.saturating_add(period);
        *reference = if mode == TimerMode::Relative { due.max(now) } else { due };
        due
    }
}
