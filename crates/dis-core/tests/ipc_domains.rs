//! A domain is destroyed while its tasks are in mid-call: as callers, as servers, in the middle of a chain. Whoever is outside goes on,
//! and all that was counted is given back.

mod common;

use common::at;
use common::direct::{Exec, ask, machine, runs};
use dis_core::api::{BlockReason, Task, TaskId, TaskSpec};
use dis_core::executor::{Kill, Leave};
use dis_core::intent::Intent;
use dis_core::isolation::{Domain, DomainSpec, Quota, Sweep};

const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const BACKEND: u32 = 3;
const RECEIVE: Leave = Leave::Block(BlockReason::Receive, None);
/// When the domain is destroyed.
const END: u64 = 100;

/// Whether a task is in the domain that is destroyed.
type In = bool;

/// A client that has called a server that has called a backend, on one CPU.
struct Scene {
    x: Exec,
    above: Domain,
    doomed: Domain,
    ids: [TaskId; 3],
}

impl Scene {
    fn new(within: [In; 3]) -> Scene {
        let x = machine(1);
        let quota = Quota { tasks: Some(100), memory: Some(1 << 20), ..Quota::default() };
        let above = x.create_domain(None, DomainSpec::new("above").with_quota(quota)).unwrap();
        let doomed = x.create_domain(Some(&above), DomainSpec::new("doomed")).unwrap();
        let spawn = |number: u32| {
            let spec = TaskSpec::new("", Intent::batch(), number).joinable();
            let spec = if within[number as usize - 1] { spec.in_domain(&doomed) } else { spec };
            let id = x.spawn(at(0), None, spec).unwrap().0;
            x.charge_memory(id, 100).unwrap();
            assert_eq!(runs(&ask(&x, 0, 0, Leave::Ask)), Some(number));
            id
        };
        let backend = spawn(BACKEND);
        ask(&x, 0, 0, RECEIVE);
        let server = spawn(SERVER);
        ask(&x, 0, 0, RECEIVE);
        let client = spawn(CLIENT);
        for (now, callee) in [(10, server), (20, backend)] {
            x.call(0, callee, None, || at(now)).unwrap();
            x.switched(0);
        }
        Scene { x, above, doomed, ids: [client, server, backend] }
    }

    /// The domain is destroyed, in a bounded number of steps.
    fn destroy(&self) {
        let mut sweep = Sweep::default();
        for _ in 0..8 {
            let mut pending = false;
            let told = |_, kill| pending |= matches!(kill, Some(Kill::Pending(0)));
            let gone = self.x.destroy_domain(at(END), &self.doomed, &mut sweep, 64, told).unwrap();
            if gone {
                return;
            }
            while core::mem::take(&mut pending) {
                self.x.schedule(0, at(END), Leave::Ask).unwrap();
                // It may be that one was still in the CPU.
                pending = self.x.switched(0);
            }
        }
        panic!("something is left: {:?}", self.doomed.usage());
    }

    /// Those who are left are on their own time, or on that of whoever has called them and is left, and end.
    fn the_others_go_on(&self, within: [In; 3]) {
        let mut left: Vec<TaskId> = Vec::new();
        for (n, &id) in self.ids.iter().enumerate().filter(|&(n, _)| !within[n]) {
            let pays = (0..=n).rev().take_while(|&n| !within[n]).last().unwrap();
            assert_eq!(self.x.carrier_of(id), Ok(self.ids[pays]), "{}, {within:?}", n + 1);
            assert_eq!(self.x.with_context(id, |_, own| own), Ok(n as u32 + 1), "its own stack");
            left.push(id);
        }
        left.sort();
        let mut there = self.x.task_ids();
        there.sort();
        assert_eq!(there, left);
        // The one that waits, if any, is woken.
        for &id in &left {
            let _ = self.x.unpark(at(END + 1), id);
        }
        let (mut ended, mut next) = (Vec::new(), ask(&self.x, 0, END + 1, Leave::Ask).next);
        while let Some(running) = next {
            ended.push(running.id);
            assert!(ended.len() <= left.len(), "{ended:?} of {left:?}");
            next = ask(&self.x, 0, END + 1, Leave::Exit(0)).next;
        }
        ended.sort();
        assert_eq!(ended, left);
    }
}

#[test]
fn a_domain_ends_in_mid_call_whoever_is_in_it() {
    for bits in 1..8u32 {
        let within = [0, 1, 2].map(|n| bits & (1 << n) != 0);
        for waits in [false, true] {
            let scene = Scene::new(within);
            if waits {
                // The backend waits, on the client's time.
                assert_eq!(runs(&ask(&scene.x, 0, 30, Leave::Block(BlockReason::Io, None))), None);
            }
            scene.destroy();
            assert_eq!((scene.doomed.usage().tasks, scene.above.usage().tasks), (0, 0), "{within:?}, {waits}");
            assert_eq!((scene.doomed.usage().memory, scene.above.usage().memory), (0, 0), "{within:?}, {waits}");
            // All three worked on the client's time, so its domain has had it.
            let had = if within[0] { if waits { 30 } else { END } } else { 0 };
            assert_eq!(scene.doomed.usage().cpu_time, had, "{within:?}, {waits}");
            scene.the_others_go_on(within);
        }
    }
}

/// A server that waits for its next caller, and one that has lent what it has to the present caller.
#[test]
fn a_domain_ends_whose_tasks_wait_to_be_called_or_for_their_turn() {
    let x = machine(1);
    let doomed = x.create_domain(None, DomainSpec::new("doomed")).unwrap();
    let spawn = |number, within: In| {
        let spec = TaskSpec::new("", Intent::batch(), number);
        let id = x.spawn(at(0), None, if within { spec.in_domain(&doomed) } else { spec }).unwrap().0;
        assert_eq!(runs(&ask(&x, 0, 0, Leave::Ask)), Some(number));
        id
    };
    let server = spawn(SERVER, false);
    ask(&x, 0, 0, RECEIVE);
    spawn(BACKEND, true);
    ask(&x, 0, 0, RECEIVE);
    let client = spawn(CLIENT, false);
    x.call(0, server, None, || at(0)).unwrap();
    x.switched(0);
    // One in the queue of callers is, for the core, a task that waits and lends.
    let spec = TaskSpec::new("", Intent::interactive(1_000), 4).in_domain(&doomed);
    let waiter = x.spawn(at(1), None, spec).unwrap().0;
    assert_eq!(runs(&ask(&x, 0, 1, Leave::Ask)), Some(4));
    let urgency = x.urgency(waiter).unwrap();
    let _ = x.inherit(at(2), client, Some(urgency)).unwrap();
    assert_eq!(runs(&ask(&x, 0, 2, Leave::Block(BlockReason::Mutex, None))), Some(SERVER));
    let mut sweep = Sweep::default();
    let mut kills = Vec::new();
    assert_eq!(x.destroy_domain(at(3), &doomed, &mut sweep, 64, |_, kill| kills.push(kill)), Ok(true));
    assert_eq!(kills, [Some(Kill::Done(None)); 2], "nobody is in a CPU");
    assert_eq!(doomed.usage().tasks, 0);
    // The call that is under way goes on.
    assert_eq!(x.carrier_of(server), Ok(client));
    let _ = x.inherit(at(4), client, None).unwrap();
    assert_eq!(x.reply(0, || at(5)).unwrap().next.map(|next| next.context), Some(CLIENT));
    x.switched(0);
    assert_eq!(x.with_task(server, Task::block_reason), Ok(Some(BlockReason::Receive)));
}
