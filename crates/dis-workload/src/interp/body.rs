//! The steps of one task, one after the other.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use crate::model::{
    Action, Arrivals, Cursor, DistributionId, Draws, Release, Scope, Step, TaskSpec, TimerId, TimerMode,
};
use crate::report::{Grid, Record};
use dis_core::api::{CpuMask, Duration};
use dis_core::intent::IntentClass;

use super::Round;
use super::host::{Host, Lock, NextJob, Park};
use super::objects::Woken;

/// How many actions a task makes between two looks at the clock, beside one in each pass.
const ACTIONS_PER_LOOK: u32 = 64;

type Guard<'a, H> = <<H as Host>::Mutex<()> as Lock<()>>::Guard<'a>;

/// Runs task number `me` of the round, which is an instance of `spec`, to its end or that of the round.
pub fn execute<H: Host>(host: &H, round: &Round<H>, spec: &TaskSpec, me: usize) {
    let origin = round.run.start() + spec.offset.as_nanos();
    let mut body = Body {
        host,
        round,
        spec,
        me,
        origin,
        grid: Grid::of(spec, origin, round.arrivals[me].clone()),
        arrivals: round.arrivals[me].clone().map(|arrivals| arrivals.starting(origin)),
        record: Record::default(),
        guards: Vec::new(),
        timers: Vec::new(),
        draws: round.draws[me].clone(),
        since: None,
        job: None,
        number: 0,
        release: 0,
        drawable: u64::MAX,
        actions: 0,
        cut: false,
    };
    body.run();
}

struct Body<'a, H: Host> {
    host: &'a H,
    round: &'a Round<H>,
    spec: &'a TaskSpec,
    me: usize,
    /// When the task's own time begins.
    origin: u64,
    /// When its jobs are released and due, if they are.
    grid: Option<Grid>,
    /// When they arrive, if it is sporadic.
    arrivals: Option<Arrivals>,
    record: Record,
    /// The mutexes it holds.
    guards: Vec<(usize, Guard<'a, H>)>,
    /// References of its own timers.
    timers: Vec<(TimerId, u64)>,
    /// Its random times.
    draws: Draws,
    /// Since when it has work to do: its last wake-up, until it blocks again.
    since: Option<u64>,
    /// The job of a periodic task that is under way.
    job: Option<Job>,
    /// The number of its release, or of the last one's, from 0.
    number: u64,
    /// When that, or the last one, was released.
    release: u64,
    /// What drawn `run` times may still take of the pass.
    drawable: u64,
    actions: u32,
    /// A step was cut short, as the round is over.
    cut: bool,
}

#[derive(Clone, Copy)]
struct Job {
    /// CPU time used when it began, where known.
    cpu: Option<u64>,
}

/// Whatever ends the task, an abort included, its record is kept.
impl<H: Host> Drop for Body<'_, H> {
    fn drop(&mut self) {
        self.guards.clear();
        // What a task that paces itself has not answered is a miss only if it was due by the end of the round.
        let now = self.host.now().min(self.round.run.end());
        if self.grid.is_none() && self.since.is_some_and(|since| now > since.saturating_add(self.deadline())) {
            self.miss(1);
        }
        self.record.counters += self.host.counters();
        self.round.slots[self.me].leave(core::mem::take(&mut self.record));
    }
}

impl<'a, H: Host> Body<'a, H> {
    fn run(&mut self) {
        self.until(self.origin);
        let spec = self.spec;
        let mut cursor = Cursor::new();
        while !self.is_over() {
            match cursor.next(spec) {
                Action::BeginPass(pass) => self.begin_pass(pass),
                Action::Affinity(mask) => self.set_affinity(mask),
                Action::Step(step) => self.step(step),
                Action::EndPass(_) => self.end_pass(),
                Action::Exit => {
                    self.settle();
                    return;
                }
            }
        }
    }

    /// Whether the round is over. Looks at the clock now and then, so that a task ends by itself even if nobody gets
    /// a CPU to tell it.
    fn is_over(&mut self) -> bool {
        self.actions += 1;
        if self.actions >= ACTIONS_PER_LOOK {
            self.actions = 0;
            return self.is_late();
        }
        self.cut || self.round.run.is_stopped()
    }

    fn is_late(&self) -> bool {
        self.round.run.is_stopped() || self.host.now() >= self.round.run.end()
    }

    /// Blocks until that instant or the end of the round. True if it had to wait and the instant has come.
    fn until(&mut self, due: u64) -> bool {
        let (parker, end) = (&self.round.shared.waiters[self.me].parker, self.round.run.end());
        let mut waited = false;
        while self.host.now() < due.min(end) && !self.round.run.is_stopped() {
            waited = true;
            parker.park_until(due.min(end));
        }
        self.cut |= due >= end || self.round.run.is_stopped();
        waited && !self.cut
    }

    fn begin_pass(&mut self, pass: u64) {
        self.drawable = self.spec.most_drawn().map_or(u64::MAX, |time| time.as_nanos());
        if self.spec.release == Release::Free {
            self.actions = ACTIONS_PER_LOOK;
            return;
        }
        let released = match pass {
            0 => NextJob { release: self.origin, skipped: 0 },
            _ => self.next_release(),
        };
        self.mark(released.skipped);
        self.release = released.release;
        self.number = match &self.grid {
            Some(grid) if self.arrivals.is_none() => grid.number(released.release),
            _ => self.number + released.skipped + u64::from(pass > 0),
        };
        self.cut |= self.is_late();
        if !self.cut {
            self.round.slots[self.me].deadlines.begin(self.number);
            self.job = Some(Job { cpu: self.host.cpu_time() });
        }
    }

    /// Waits for the next release: the host's, if it knows the period, else the clock's.
    fn next_release(&mut self) -> NextJob {
        let before = self.host.now();
        let next = match self.spec.release {
            Release::Periodic(period) => self.next_periodic(period, before),
            Release::Sporadic { .. } | Release::Free => self.next_sporadic(before),
        };
        let now = self.host.now();
        if before < next.release && now >= next.release && !self.is_late() {
            self.record.wake.record(now - next.release);
        }
        next
    }

    fn next_periodic(&mut self, period: Duration, now: u64) -> NextJob {
        let period = period.as_nanos().max(1);
        let mut release = self.release.saturating_add(period);
        self.await_host(release, None).unwrap_or_else(|| {
            // Releases whose deadlines have passed too are left out: their jobs could only be late.
            let skipped = now.saturating_sub(release.saturating_add(self.deadline())).div_ceil(period);
            release = release.saturating_add(period.saturating_mul(skipped));
            self.until(release);
            NextJob { release, skipped }
        })
    }

    fn next_sporadic(&mut self, now: u64) -> NextJob {
        let deadline = self.deadline();
        let objects = &self.round.workload.objects;
        let next = self.arrivals.as_mut().map(|arrivals| arrivals.next_in_time(objects, deadline, now));
        let (release, skipped) = next.unwrap_or((now, 0));
        if self.await_host(release, Some(release)).is_none() {
            self.until(release);
        }
        NextJob { release, skipped }
    }

    /// Waits as the host does for the next job, which is released at `release`; for that of a sporadic task, which arrives then.
    fn await_host(&self, release: u64, arrival: Option<u64>) -> Option<NextJob> {
        if release >= self.round.run.end() {
            // The host would wait for a release that is none any more.
            return None;
        }
        let waits = &self.round.slots[self.me].between_jobs;
        waits.store(true, Ordering::Release);
        let next = self.host.next_job(arrival);
        waits.store(false, Ordering::Release);
        next
    }

    fn end_pass(&mut self) {
        let slot = &self.round.slots[self.me];
        self.record.jobs += 1;
        slot.jobs.store(self.record.jobs, Ordering::Relaxed);
        let Some(job) = self.job.take() else { return };
        let now = self.responded(self.release);
        if let Some(grid) = &self.grid {
            slot.deadlines.end(grid, self.number, self.release, now);
        }
        if let (Some(before), Some(after), IntentClass::Realtime { wcet_us, .. }) =
            (job.cpu, self.host.cpu_time(), self.spec.intent.class)
        {
            self.record.counters.overruns += u64::from(after.saturating_sub(before) > wcet_us.saturating_mul(1_000));
        }
    }

    /// The relative deadline; without end for tasks that have none.
    fn deadline(&self) -> u64 {
        match self.spec.intent.class {
            IntentClass::Realtime { deadline_us, .. } => deadline_us.saturating_mul(1_000),
            _ => u64::MAX,
        }
    }

    /// A job, or what a wake-up asked for, is done now.
    fn responded(&mut self, since: u64) -> u64 {
        let now = self.host.now();
        let response = now.saturating_sub(since);
        self.record.response.record(response);
        if response > self.deadline() {
            self.miss(1);
        }
        now
    }

    /// Deadlines were missed. Those of periodic jobs are counted by [`Deadlines`](crate::report::Deadlines).
    fn miss(&mut self, count: u64) {
        if self.grid.is_none() {
            self.record.misses += count;
            self.round.slots[self.me].misses.store(self.record.misses, Ordering::Relaxed);
        }
        self.mark(count);
    }

    /// For the trace.
    fn mark(&self, misses: u64) {
        if misses > 0 {
            self.round.missed(self.me, self.host.now());
        }
    }

    fn set_affinity(&mut self, mask: Option<CpuMask>) {
        let mask = mask.or(self.spec.intent.constraints.cpu_affinity).unwrap_or(CpuMask::ALL);
        if let Err(problem) = self.host.set_affinity(mask) {
            self.record.problem.get_or_insert(problem);
        }
    }

    /// The work since the last wake-up is done: the task is about to block, or ends. In a periodic task only the whole
    /// pass is a job.
    fn settle(&mut self) {
        if let Some(since) = self.since.take().filter(|_| self.job.is_none()) {
            self.responded(since);
        }
    }

    /// The task goes on after a wake-up at `since`, for which it was blocked if `waited`.
    fn resume(&mut self, since: u64, waited: bool) {
        if waited {
            self.record.wake.record(self.host.now().saturating_sub(since));
        }
        self.since = Some(since);
    }

    fn woken(&mut self, woken: Woken) {
        match woken {
            Woken::At(at) => self.resume(at, true),
            Woken::Already(at) => self.resume(at, false),
            Woken::Over => {}
        }
    }

    fn step(&mut self, step: &Step) {
        let (host, shared, run) = (self.host, &self.round.shared, &self.round.run);
        match *step {
            Step::Run(time) => self.burn(time.as_nanos()),
            Step::RunDrawn(id) => {
                let time = self.draw(id).min(self.drawable);
                self.drawable -= time;
                self.burn(time);
            }
            Step::Sleep(time) => self.sleep(time.as_nanos()),
            Step::SleepDrawn(id) => {
                let time = self.draw(id);
                self.sleep(time);
            }
            Step::Yield => host.yield_now(),
            Step::Lock(mutex) => self.guards.push((mutex.0, shared.mutexes[mutex.0].lock())),
            Step::Unlock(mutex) => self.guards.retain(|(held, _)| *held != mutex.0),
            Step::Signal(event) => shared.events[event.0].signal(host, shared, false),
            Step::Broadcast(event) => shared.events[event.0].signal(host, shared, true),
            Step::Wait { event, mutex } => {
                self.settle();
                let guards = &mut self.guards;
                let release = || guards.retain(|(held, _)| Some(*held) != mutex.map(|mutex| mutex.0));
                let woken = shared.events[event.0].wait(shared, self.me, run, release);
                self.woken(woken);
                if let Some(mutex) = mutex.filter(|mutex| !self.guards.iter().any(|(held, _)| *held == mutex.0)) {
                    self.guards.push((mutex.0, shared.mutexes[mutex.0].lock()));
                }
            }
            Step::Barrier(barrier) => {
                self.settle();
                let woken = shared.barriers[barrier.0].arrive(host, shared, self.me, run);
                self.woken(woken);
            }
            Step::Timer { timer, period, mode } => {
                self.settle();
                let due = self.tick(timer, period.as_nanos(), mode);
                let waited = self.until(due);
                if waited || host.now() >= due {
                    self.resume(due, waited);
                }
            }
        }
    }

    /// A time drawn at random, ns.
    fn draw(&mut self, id: DistributionId) -> u64 {
        self.draws.draw(id, &self.round.workload.objects.distributions[id.0]).as_nanos()
    }

    fn sleep(&mut self, ns: u64) {
        self.settle();
        let due = self.host.now().saturating_add(ns);
        if self.until(due) {
            self.resume(due, true);
        }
    }

    fn burn(&mut self, ns: u64) {
        let burnt = self.host.burn(self.round.speed, ns, || !self.is_late());
        self.record.burnt_ns += burnt;
        self.cut |= burnt < ns;
    }

    /// Moves the timer's reference on and answers when it is due.
    fn tick(&mut self, timer: TimerId, period: u64, mode: TimerMode) -> u64 {
        let now = self.host.now();
        let origin = self.origin;
        let advance = |reference: Option<u64>| {
            let due = reference.unwrap_or(origin).saturating_add(period);
            let next = if mode == TimerMode::Relative { due.max(now) } else { due };
            (due, next)
        };
        if self.round.workload.objects.timers[timer.0].scope == Scope::Workload {
            let mut reference = self.round.shared.timers[timer.0].lock();
            let (due, next) = advance(*reference);
            *reference = Some(next);
            return due;
        }
        match self.timers.iter_mut().find(|(own, _)| *own == timer) {
            Some((_, reference)) => {
                let (due, next) = advance(Some(*reference));
                *reference = next;
                due
            }
            None => {
                let (due, next) = advance(None);
                self.timers.push((timer, next));
                due
            }
        }
    }
}
