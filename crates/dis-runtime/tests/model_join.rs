//! The join of a closure task over shuttle: whoever waits for its end goes on, its outcome is taken or dropped once, and what a joining
//! task of another runtime has left with its name is given back once.
//!
//! The word that all agree by is the runtime's own source, `joiner.rs`. What is around it is written down a second time: `Model::run` mirrors
//! `life.rs`, `finish` and `announce_end`; `Model::join_in_task` and `Model::join_in_thread` mirror `join.rs`, and `Model::drop_handle` the
//! `Drop` there. Joining tasks are woken for no reason, and are aborted. Each of the [`Fault`]s takes a step away; the model fails then.
//! Shuttle's atomics are sequentially consistent: it says nothing of weaker orders. In optimised builds only.
#![cfg(not(debug_assertions))]

mod atomics {
    pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};
}
#[path = "../src/joiner.rs"]
mod joiner;
#[path = "common/shuttled.rs"]
mod shuttled;

use joiner::{Concerned, Dropped, Joiner};
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use shuttled::{Futex, Parker, check, check_fails, dawdle, random};

/// The joining task's id.
const ME: u64 = 7;
const STARTED: usize = 1;
const DONE: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// The end takes the name before it publishes that the task is done.
    EndBeforeDone,
    /// A joiner that comes too late waits all the same.
    WaitsTooLate,
    /// Whoever drops the handle does not look whether the task has ended meanwhile.
    DropsBlindly,
    /// The task does not look again whether the handle was dropped while it told of its end.
    EndsBlindly,
    /// A joiner that was aborted, or sees the end before it is told, leaves there what came with its name.
    VisitStays,
}

struct Model {
    fault: Fault,
    state: Futex,
    joiner: Joiner,
    /// `Header::joiner_rt`.
    left: Mutex<bool>,
    outcome: Mutex<bool>,
    /// Outcomes that were taken or dropped; visits that go on.
    outcomes: AtomicUsize,
    visits: AtomicUsize,
    me: Parker,
    /// The joining task is of another runtime.
    foreign: AtomicBool,
    aborted: AtomicBool,
}

impl Model {
    fn new(fault: Fault) -> Model {
        Model {
            fault,
            state: Futex::new(STARTED),
            joiner: Joiner::new(),
            left: Mutex::new(false),
            outcome: Mutex::new(false),
            outcomes: AtomicUsize::new(0),
            visits: AtomicUsize::new(0),
            me: Parker::default(),
            foreign: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
        }
    }

    fn is_done(&self) -> bool {
        self.state.word.load(SeqCst) == DONE
    }

    fn take_outcome(&self) {
        if std::mem::take(&mut *self.outcome.lock().unwrap()) {
            self.outcomes.fetch_add(1, SeqCst);
        }
    }

    /// Ends the visit that was left, if there is one; whether there was.
    fn take_visit(&self) -> bool {
        let left = std::mem::take(&mut *self.left.lock().unwrap());
        if left {
            self.visits.fetch_sub(1, SeqCst);
        }
        left
    }

    /// The task, up to its end.
    fn run(&self) {
        dawdle(4);
        *self.outcome.lock().unwrap() = true;
        if self.joiner.is_detached() {
            self.take_outcome();
        }
        let early = (self.fault == Fault::EndBeforeDone).then(|| self.joiner.end());
        self.state.word.store(DONE, SeqCst);
        match early.unwrap_or_else(|| self.joiner.end()) {
            Concerned::Nobody => {}
            Concerned::Detached if self.fault == Fault::EndsBlindly => {}
            Concerned::Detached => self.take_outcome(),
            Concerned::Thread => self.state.wake(),
            Concerned::Task(id) => {
                assert_eq!(id, ME);
                // The joiner may have gone on, and ended: its id finds nobody then. But its runtime is still there.
                assert_eq!(self.take_visit(), self.foreign.load(SeqCst));
                self.me.unpark();
            }
        }
    }

    /// Whether the wait came to its end; else the joiner was aborted.
    fn join_in_task(&self, foreign: bool) -> bool {
        if self.is_done() {
            return true;
        }
        self.foreign.store(foreign, SeqCst);
        if foreign {
            self.visits.fetch_add(1, SeqCst);
            *self.left.lock().unwrap() = true;
        }
        if !self.joiner.wait_as_task(ME) {
            self.take_visit();
            if self.fault == Fault::WaitsTooLate {
                self.me.block();
            }
            return true;
        }
        while !self.is_done() {
            self.me.block();
            if self.aborted.load(SeqCst) && !self.is_done() {
                return false;
            }
        }
        true
    }

    fn join_in_thread(&self) {
        if self.is_done() || !self.joiner.wait_as_thread() {
            return;
        }
        while !self.is_done() {
            self.state.wait(STARTED);
        }
    }

    fn drop_handle(&self) {
        match self.joiner.detach() {
            Dropped::Ended if self.fault == Fault::DropsBlindly => {}
            Dropped::Ended => self.take_outcome(),
            Dropped::Named if self.fault != Fault::VisitStays => drop(self.take_visit()),
            Dropped::Named | Dropped::GoesOn => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Handle {
    Dropped,
    JoinedByThread,
    JoinedByTask { foreign: bool },
}

fn run(fault: Fault) {
    let model = Arc::new(Model::new(fault));
    let handle = [
        Handle::Dropped,
        Handle::JoinedByThread,
        Handle::JoinedByTask { foreign: false },
        Handle::JoinedByTask { foreign: true },
    ][random(4)];
    let spawn = |body: fn(&Model)| {
        let model = model.clone();
        thread::spawn(move || body(&model))
    };
    let mut threads = vec![spawn(Model::run)];
    if matches!(handle, Handle::JoinedByTask { .. }) {
        threads.push(spawn(|model| {
            dawdle(4);
            if random(2) == 0 {
                model.me.unpark();
            }
            if random(2) == 0 {
                model.aborted.store(true, SeqCst);
                model.me.unpark();
            }
        }));
    }
    dawdle(4);
    let joined = match handle {
        Handle::Dropped => false,
        Handle::JoinedByThread => {
            model.join_in_thread();
            true
        }
        Handle::JoinedByTask { foreign } => model.join_in_task(foreign),
    };
    if joined {
        assert!(model.is_done(), "joined before the end");
        model.take_outcome();
        assert_eq!(model.outcomes.load(SeqCst), 1, "there was an outcome to take");
    }
    model.drop_handle();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(model.outcomes.load(SeqCst), 1, "taken or dropped once");
    assert!(!*model.outcome.lock().unwrap(), "nothing is left");
    assert_eq!(model.visits.load(SeqCst), 0, "every visit has ended");
}

#[test]
fn whoever_waits_goes_on_and_nothing_is_left() {
    check(100_000, || run(Fault::None));
}

#[test]
fn the_model_fails_without_any_of_its_steps() {
    use Fault::*;
    for fault in [EndBeforeDone, WaitsTooLate, DropsBlindly, EndsBlindly, VisitStays] {
        check_fails(fault, move || run(fault));
    }
}
