//! Random calls, replies, waits, time-outs, cancellations, deaths, moves, and stacks that cannot run yet, on one to four CPUs. After each event: every stack is in
//! one place and is run by one CPU at a time, never before its registers are saved; all time that CPUs have run is charged, to those
//! whose scheduling contexts ran; a stack of calls is on one CPU. At the end everybody ends.

mod common;

use std::collections::HashMap;

use common::at;
use common::lock::Lock;
use common::rng::Rng;
use dis_core::api::{BlockReason, CpuMask, SchedError, TaskId, TaskSpec, TaskState, Timestamp};
use dis_core::executor::{Decision, Executor, Kill, Leave, Wake};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

const TASKS: u32 = 12;

/// What a CPU does: nothing, or run a stack; and what it must hear of.
#[derive(Clone, Copy, Default)]
struct Cpu {
    runs: Option<u32>,
    /// Whose time it is on.
    pays: Option<TaskId>,
    /// The stack that is in its registers still.
    unsaved: Option<u32>,
    until: Option<Timestamp>,
    asked: bool,
    since: u64,
}

struct World {
    x: Executor<u32, Lock>,
    cpus: Vec<Cpu>,
    ids: HashMap<u32, TaskId>,
    now: u64,
    rng: Rng,
    ran: u64,
    ended: HashMap<u32, ()>,
    counts: [u64; 6],
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let cpus = 1 + rng.below(4) as usize;
        let x = Executor::new(Config::new(cpus)).unwrap();
        let mut world = World {
            x,
            cpus: vec![Cpu::default(); cpus],
            ids: HashMap::new(),
            now: 1,
            rng,
            ran: 0,
            ended: HashMap::new(),
            counts: [0; 6],
        };
        for number in 0..TASKS {
            let intent = match world.rng.below(5) {
                0 => Intent::system(),
                1 => Intent::realtime(100_000, 100_000, 10_000),
                2 => Intent::interactive(1_000),
                3 => Intent::batch().with_cpu_share(0, 300),
                _ => Intent::background(),
            };
            let (id, wake) = world.x.spawn(at(1), None, TaskSpec::new("", intent, number).joinable()).unwrap();
            world.ids.insert(number, id);
            world.heed(wake);
        }
        world
    }

    fn heed(&mut self, wake: Wake) {
        if wake.interrupt || wake.until.is_some() {
            self.cpus[wake.cpu].asked = true;
        }
    }

    fn carry_out(&mut self, cpu: usize, decision: Decision<u32>, gone: bool) {
        let here = &mut self.cpus[cpu];
        if let Some(pays) = here.pays.take() {
            let _ = pays;
            self.ran += self.now - here.since;
        }
        here.until = decision.until;
        if let Some(other) = decision.interrupt {
            self.cpus[other].asked = true;
        }
        let live = self.cpus[cpu].unsaved.or(self.cpus[cpu].runs);
        let next = decision.next.map(|next| next.context);
        let switch = decision.next.is_some_and(|next| next.switch);
        if let Some(next) = next {
            assert_eq!(self.ids[&next], decision.next.unwrap().id, "the id is that of the stack");
            let elsewhere =
                |(other, c): (usize, &Cpu)| other != cpu && (c.runs == Some(next) || c.unsaved == Some(next));
            assert!(!self.cpus.iter().enumerate().any(elsewhere), "{next} is in another CPU");
            assert!(!self.ended.contains_key(&next), "{next} has ended");
            assert!(switch != (live == Some(next) && !gone), "{next}, {live:?}");
        }
        if switch && self.rng.below(12) == 0 {
            // Something that it needs is taken, so its registers are not loaded: those of the one before are in the CPU still.
            self.counts[5] += 1;
            let here = &mut self.cpus[cpu];
            (here.runs, here.unsaved) = (None, live.filter(|_| !gone));
            let decision = self.x.schedule(cpu, at(self.now), Leave::Declined).unwrap();
            self.note_ends();
            return self.carry_out(cpu, decision, gone);
        }
        let here = &mut self.cpus[cpu];
        here.runs = next;
        here.unsaved = live.filter(|_| !gone && (switch || next.is_none()));
        here.since = self.now;
        here.pays = next.map(|next| self.x.carrier_of(self.ids[&next]).unwrap());
        if decision.vacate || gone || (switch && self.rng.below(2) == 0) {
            self.save(cpu);
        }
    }

    fn save(&mut self, cpu: usize) {
        if self.cpus[cpu].runs.is_some() || self.cpus[cpu].unsaved.is_some() {
            self.cpus[cpu].unsaved = None;
        }
        if self.x.switched(cpu) {
            self.cpus[cpu].asked = true;
        }
    }

    fn ask(&mut self, cpu: usize, leave: Leave) {
        if self.cpus[cpu].runs.is_some() {
            self.save(cpu);
        }
        self.cpus[cpu].asked = false;
        let leaves = self.cpus[cpu].runs;
        let killed = self.ids.iter().any(|(&n, &id)| Some(n) == leaves && self.x.with_task(id, |_| ()).is_err());
        assert!(!killed, "who runs is there");
        match self.x.schedule(cpu, at(self.now), leave) {
            Ok(decision) => {
                self.note_ends();
                let gone = leaves.is_some_and(|n| self.ended.contains_key(&n));
                self.carry_out(cpu, decision, gone);
            }
            Err(error) => {
                assert!(error == SchedError::InvalidState && leave == Leave::NextPeriod, "{error:?} {leave:?}")
            }
        }
    }

    fn note_ends(&mut self) {
        for (&number, &id) in &self.ids {
            if self.x.with_task(id, |task| task.state().has_ended()).unwrap_or(true) {
                self.ended.insert(number, ());
            }
        }
    }

    fn alive(&mut self) -> Option<(u32, TaskId)> {
        let mut all: Vec<u32> = (0..TASKS).filter(|n| !self.ended.contains_key(n)).collect();
        all.sort_unstable();
        let at = self.rng.below(all.len().max(1) as u64) as usize;
        all.get(at).map(|n| (*n, self.ids[n]))
    }

    fn event(&mut self) {
        self.now += self.rng.below(2_000_000);
        let cpu = self.rng.below(self.cpus.len() as u64) as usize;
        // What has fallen due comes first.
        for cpu in 0..self.cpus.len() {
            if self.cpus[cpu].asked || self.cpus[cpu].until.is_some_and(|until| until <= at(self.now)) {
                self.ask(cpu, Leave::Ask);
            }
        }
        let until = (self.rng.below(2) == 0).then(|| at(self.now + 1 + self.rng.below(5_000_000)));
        let Some((_, id)) = self.alive() else { return };
        let runs = self.cpus[cpu].runs.is_some();
        if runs {
            self.save(cpu);
        }
        match self.rng.below(20) {
            0..=5 if runs => {
                let caller = self.cpus[cpu].runs;
                if let Ok(decision) = self.x.call(cpu, id, until, || at(self.now)) {
                    self.counts[0] += 1;
                    assert_ne!(decision.next.map(|next| next.context), caller);
                    self.carry_out(cpu, decision, false);
                }
            }
            6..=9 if runs => match self.x.reply(cpu, || at(self.now)) {
                Ok(decision) => {
                    self.counts[1] += 1;
                    self.carry_out(cpu, decision, false);
                }
                Err(_) => self.ask(cpu, Leave::Block(BlockReason::Receive, None)),
            },
            10 if runs => self.ask(cpu, Leave::Block(BlockReason::Io, until)),
            11 if runs => {
                let end = self.now + self.rng.below(3_000_000);
                self.ask(cpu, Leave::Sleep(at(end)));
            }
            12 if runs => self.ask(cpu, Leave::Yield),
            13 if runs && self.rng.below(8) == 0 => self.ask(cpu, Leave::Exit(0)),
            14 if self.rng.below(6) == 0 => {
                if let Ok(Kill::Pending(cpu) | Kill::Done(Some(cpu))) = self.x.kill(at(self.now), id) {
                    self.counts[2] += 1;
                    self.cpus[cpu].asked = true;
                }
            }
            15 => {
                if let Ok(wake) = self.x.cancel_call(id) {
                    self.counts[3] += 1;
                    self.heed(wake);
                }
            }
            16 => {
                let mask = CpuMask::single(self.rng.below(self.cpus.len() as u64) as usize);
                let mask = if self.rng.below(2) == 0 { CpuMask::ALL } else { mask };
                if let Ok(wake) = self.x.set_affinity(at(self.now), id, mask) {
                    self.heed(wake);
                }
            }
            17 => {
                let lent = self.alive().and_then(|(_, other)| self.x.urgency(other).ok());
                let lent = lent.filter(|_| self.rng.below(2) == 0);
                if let Ok(wake) = self.x.inherit(at(self.now), id, lent) {
                    self.heed(wake);
                }
            }
            _ => {
                // A server that waits for calls is not woken otherwise.
                let waits = self.x.with_task(id, |t| t.block_reason() == Some(BlockReason::Receive)).unwrap_or(true);
                if !waits && let Ok(wake) = self.x.unpark(at(self.now), id) {
                    self.heed(wake);
                }
            }
        }
        self.note_ends();
        self.check();
    }

    fn check(&mut self) {
        let mut places = HashMap::new();
        let mut charged = 0;
        for (&number, &id) in &self.ids {
            let Ok((context, state)) = self.x.with_task(id, |task| (task.context, task.state())) else { continue };
            assert!(places.insert(context, number).is_none(), "the stack of {context} is in two places");
            let carrier = self.x.carrier_of(id).unwrap();
            self.counts[4] += u64::from(carrier != id);
            assert_eq!(self.x.cpu_of(carrier), self.x.cpu_of(id));
            if carrier != id {
                assert_eq!(state, TaskState::Blocked);
            }
            charged += self.x.task_stats(at(self.now), id).unwrap().cpu_time;
        }
        let running: u64 = self.cpus.iter().filter(|c| c.pays.is_some()).map(|c| self.now - c.since).sum();
        assert_eq!(charged, self.ran + running, "all time is somebody's");
        let mut runs: Vec<u32> = self.cpus.iter().filter_map(|c| c.runs).collect();
        runs.sort_unstable();
        assert!(runs.windows(2).all(|two| two[0] != two[1]));
    }

    /// Everybody is killed, and ends.
    fn finish(&mut self) {
        for number in 0..TASKS {
            let _ = self.x.kill(at(self.now), self.ids[&number]);
        }
        for _ in 0..8 {
            self.now += 1;
            for cpu in 0..self.cpus.len() {
                self.save(cpu);
                self.ask(cpu, Leave::Ask);
                self.save(cpu);
            }
        }
        self.note_ends();
        let left = |id: &&TaskId| self.x.with_task(**id, |task| !task.state().has_ended()).unwrap_or(false);
        assert_eq!(self.ids.values().filter(left).count(), 0, "all have ended");
        assert!(self.cpus.iter().all(|cpu| cpu.runs.is_none()));
    }
}

#[test]
fn however_calls_end_no_stack_and_no_time_is_lost() {
    let most = std::env::var("DIS_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000u64);
    let mut counts = [0; 6];
    for seed in 0..most.div_ceil(300) {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..300 {
                world.event();
            }
            world.finish();
            world.counts
        });
        let seen = result.unwrap_or_else(|_| panic!("seed {seed}"));
        counts.iter_mut().zip(seen).for_each(|(sum, n)| *sum += n);
    }
    println!("calls, replies, kills, cancellations, servers away, declined: {counts:?}");
    assert!(counts.iter().all(|&n| n > 100), "{counts:?}");
}
