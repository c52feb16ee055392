//! Lanes over shuttle: no task is lost, none is polled twice at a time, and none waits while its kind's servers are parked; with
//! servers that are displaced in mid-poll.
//!
//! The ring, what a server has taken from it, and the book-keeping of parked servers are the runtime's own source, with shuttle's atomics. What the servers do around
//! them is written down a second time: `Model::serve` and `Model::park` mirror `serve.rs`, `serve` and `find_more_or_park`;
//! `Model::push` mirrors `lane.rs`. Each of the [`Fault`]s takes a step away; the model fails then. There are no timers, so whoever misses a
//! wake-up sleeps for ever, which shuttle reports as a deadlock. Shuttle's atomics are sequentially consistent: it says nothing of weaker
//! orders. In optimised builds only.
#![cfg(not(debug_assertions))]
#![allow(dead_code)]

mod atomics {
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
    pub(crate) const RING: usize = 4;
}
#[path = "../src/future/idle.rs"]
mod idle;
#[path = "../src/future/ring.rs"]
mod ring;
#[path = "common/shuttled.rs"]
mod shuttled;
#[path = "../src/future/taken.rs"]
mod taken;

use idle::Idle;
use ring::Ring;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use shuttled::{Parker, check, check_fails, dawdle, random};
use taken::Taken;

const LANES: usize = 2;
const TASKS: usize = 5;
const POLLS: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// A server parks without a last look.
    NoLastLook,
    /// A server looks a last time before it says that it parks.
    LookTooEarly,
    /// Who makes a task ready from outside wakes nobody.
    SilentPush,
    /// A displaced server does not wake the one that takes its place.
    NobodyToldOfLane,
    /// What a server has taken out of the ring remains with it when it is displaced.
    TakenAway,
}

struct Lane {
    ring: Ring,
    /// The lane's are the first.
    taken: [Taken; 2],
    /// The worker: whoever has it may push.
    worker: Mutex<()>,
    /// Which of its two pollers serves.
    server: AtomicUsize,
    pollers: [Parker; 2],
}

struct Model {
    fault: Fault,
    idle: Idle,
    lanes: Vec<Lane>,
    inject: Mutex<Vec<usize>>,
    injected: AtomicUsize,
    /// How often each task has been polled; whether it is being polled.
    polls: Vec<AtomicUsize>,
    polled: Vec<AtomicBool>,
    over: AtomicUsize,
}

impl Model {
    fn ended(&self) -> bool {
        self.over.load(SeqCst) == TASKS
    }

    fn unpark(&self, lane: usize) {
        let lane = &self.lanes[lane];
        lane.pollers[lane.server.load(SeqCst)].unpark();
    }

    fn wake_another(&self) {
        if self.idle.wants_another()
            && let Some(lane) = self.idle.claim_any(0..LANES)
        {
            self.unpark(lane);
        }
    }

    /// From the poll of a server that still has its lane.
    fn push(&self, lane: usize, task: usize) {
        let address = std::ptr::without_provenance_mut(task + 1);
        let pushed = {
            let _worker = self.lanes[lane].worker.lock().unwrap();
            self.lanes[lane].ring.push(address)
        };
        match pushed {
            Ok(()) => self.wake_another(),
            Err(_) => self.push_foreign(task),
        }
    }

    fn push_foreign(&self, task: usize) {
        let mut inject = self.inject.lock().unwrap();
        inject.push(task);
        self.injected.store(inject.len(), SeqCst);
        drop(inject);
        if self.fault != Fault::SilentPush {
            self.wake_another();
        }
    }

    fn take_injected(&self) -> Option<usize> {
        let mut inject = self.inject.lock().unwrap();
        let task = inject.pop();
        self.injected.store(inject.len(), SeqCst);
        task
    }

    fn has_tasks(&self) -> bool {
        self.injected.load(SeqCst) > 0 || self.lanes.iter().any(|lane| !lane.ring.is_empty())
    }

    fn serve(&self, lane: usize, me: usize) {
        let own = &self.lanes[lane];
        while !self.ended() {
            if own.server.load(SeqCst) != me {
                own.pollers[me].block();
                continue;
            }
            let taken = &own.taken[if self.fault == Fault::TakenAway { me } else { 0 }];
            // Now and then it looks into the shared queue first.
            let first = if random(2) == 0 { self.take_injected() } else { None };
            let task = first.or_else(|| {
                let task = taken.pop(&own.ring, self.idle.all_serve());
                task.map(|task| task.addr() - 1).or_else(|| self.take_injected())
            });
            let Some(task) = task else {
                self.park(lane, me);
                continue;
            };
            if self.idle.was_to_search(lane) && self.idle.end_search() {
                self.wake_another();
            } else if self.has_tasks() {
                self.wake_another();
            }
            self.poll(lane, me, task);
        }
        // Everybody else ends as well.
        self.lanes.iter().flat_map(|lane| &lane.pollers).for_each(Parker::unpark);
    }

    fn poll(&self, lane: usize, me: usize, task: usize) {
        assert!(!self.polled[task].swap(true, SeqCst), "polled twice at a time");
        let own = &self.lanes[lane];
        // The handler finds that it takes too long.
        let displaced = random(3) == 0;
        if displaced {
            let other = 1 - me;
            own.server.store(other, SeqCst);
            if self.fault != Fault::NobodyToldOfLane {
                own.pollers[other].unpark();
            }
        }
        thread::yield_now();
        let polls = self.polls[task].fetch_add(1, SeqCst) + 1;
        assert!(self.polled[task].swap(false, SeqCst));
        if polls == POLLS {
            self.over.fetch_add(1, SeqCst);
        } else if displaced {
            self.push_foreign(task);
        } else {
            self.push(lane, task);
        }
    }

    fn park(&self, lane: usize, me: usize) {
        let search = self.idle.was_to_search(lane) || self.idle.begin_search();
        if search {
            let mut out = [std::ptr::null_mut(); ring::BATCH];
            let mut found = false;
            for other in (0..LANES).filter(|&other| other != lane) {
                let count = self.lanes[other].ring.take_half(&mut out);
                let _worker = self.lanes[lane].worker.lock().unwrap();
                for &task in &out[..count] {
                    self.lanes[lane].ring.push(task).expect("the ring of who steals is empty");
                    found = true;
                }
            }
            found |= self.injected.load(SeqCst) > 0;
            if self.idle.end_search() && found {
                self.wake_another();
            }
            if found {
                return;
            }
        }
        let look =
            || !self.lanes[lane].ring.is_empty() || self.injected.load(SeqCst) > 0 || (search && self.has_tasks());
        let early = self.fault == Fault::LookTooEarly && look();
        // What comes between the look and the mark is missed: so much does, that the model sees it soon.
        if matches!(self.fault, Fault::NoLastLook | Fault::LookTooEarly) {
            dawdle(40);
        }
        self.idle.parks(lane);
        let work = match self.fault {
            Fault::NoLastLook => false,
            Fault::LookTooEarly => early,
            _ => look(),
        };
        if !work && !self.ended() {
            self.lanes[lane].pollers[me].block();
        }
        self.idle.goes_on(lane);
    }
}

fn run(fault: Fault) {
    let lane = || Lane {
        ring: Ring::new(),
        taken: [Taken::new(), Taken::new()],
        worker: Mutex::new(()),
        server: AtomicUsize::new(0),
        pollers: Default::default(),
    };
    let model = Arc::new(Model {
        fault,
        idle: Idle::new(LANES),
        lanes: (0..LANES).map(|_| lane()).collect(),
        inject: Mutex::new(Vec::new()),
        injected: AtomicUsize::new(0),
        polls: (0..TASKS).map(|_| AtomicUsize::new(0)).collect(),
        polled: (0..TASKS).map(|_| AtomicBool::new(false)).collect(),
        over: AtomicUsize::new(0),
    });
    let pollers: Vec<_> = (0..LANES * 2)
        .map(|n| {
            let model = model.clone();
            thread::spawn(move || model.serve(n / 2, n % 2))
        })
        .collect();
    // Each comes when the others are over, so that the servers are about to park, or have; or all come at once.
    let at_once = random(2) == 0;
    for task in 0..TASKS {
        while !at_once && model.over.load(SeqCst) + 2 <= task {
            thread::yield_now();
        }
        dawdle(40);
        model.push_foreign(task);
    }
    for poller in pollers {
        poller.join().unwrap();
    }
    assert!(model.polls.iter().all(|polls| polls.load(SeqCst) == POLLS));
}

#[test]
fn no_task_is_lost_on_lanes() {
    check(10_000, || run(Fault::None));
}

#[test]
fn the_model_fails_when_a_step_is_taken_away() {
    for fault in [Fault::NoLastLook, Fault::LookTooEarly, Fault::SilentPush, Fault::NobodyToldOfLane, Fault::TakenAway]
    {
        check_fails(fault, move || run(fault));
    }
}

#[test]
fn a_ring_gives_each_task_once_and_in_order() {
    check(3_000, || {
        let (ring, over) = (Arc::new(Ring::new()), Arc::new(AtomicBool::new(false)));
        let consumers: Vec<_> = (0..2)
            .map(|who| {
                let (ring, over) = (ring.clone(), over.clone());
                thread::spawn(move || {
                    let mut seen = Vec::new();
                    loop {
                        let last = over.load(SeqCst);
                        let mut out = [std::ptr::null_mut(); ring::BATCH];
                        let count = if who == 0 { ring.take_half(&mut out) } else { 0 };
                        seen.extend(out[..count].iter().map(|task| task.addr()));
                        match ring.pop() {
                            Some(task) => seen.push(task.addr()),
                            None if last => return seen,
                            None => thread::yield_now(),
                        }
                    }
                })
            })
            .collect();
        for task in 1..=12 {
            while ring.push(std::ptr::without_provenance_mut(task)).is_err() {
                thread::yield_now();
            }
        }
        over.store(true, SeqCst);
        let mut all = Vec::new();
        for consumer in consumers {
            let seen = consumer.join().unwrap();
            assert!(seen.is_sorted());
            all.extend(seen);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=12));
    });
}
