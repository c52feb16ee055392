//! Chains of calls: who is most urgent waits for the work that it needs, and for none between. The host here does what one has to: it
//! keeps the callers that wait for a server, and lends their urgency to the one whose call that server serves.

mod common;

use std::collections::{HashMap, HashSet, VecDeque};

use common::at;
use common::lock::Lock;
use common::rng::Rng;
use dis_core::api::{BlockReason, CpuMask, TaskId, TaskSpec};
use dis_core::executor::{Decision, Executor, Leave};
use dis_core::intent::Intent;
use dis_core::scheduler::Config;

/// The number of a stack: a client, or from here on a server.
type Number = usize;
const SERVERS: Number = 100;
const TICK: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Work,
    /// A call to a server, which does this.
    Call(Number, Vec<Step>),
}

fn work(ticks: usize) -> Vec<Step> {
    vec![Step::Work; ticks]
}

#[derive(Default)]
struct Service {
    /// Whose turn it is: it has called, or is about to.
    owner: Option<Number>,
    waiters: Vec<Number>,
}

struct Host {
    x: Executor<usize, Lock>,
    ids: HashMap<Number, TaskId>,
    programs: HashMap<Number, VecDeque<Step>>,
    services: HashMap<Number, Service>,
    /// The server whose reply a stack waits for; the one whose turn it waits for.
    called: HashMap<Number, Number>,
    waits_for: HashMap<Number, Number>,
    lends: bool,
    now: u64,
    finished: Vec<Number>,
    /// How long the longest chain has been.
    longest: usize,
}

impl Host {
    fn new(servers: usize, lends: bool) -> Host {
        let x = Executor::new(Config::new(1)).unwrap();
        let (ids, programs) = (HashMap::new(), HashMap::new());
        let services = (0..servers).map(|n| (SERVERS + n, Service::default())).collect();
        let (called, waits_for, finished) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut host = Host { x, ids, programs, services, called, waits_for, lends, now: 0, finished, longest: 0 };
        for number in SERVERS..SERVERS + servers {
            host.spawn(number, &Intent::background(), Vec::new());
            assert_eq!(runner(&host.ask(Leave::Ask)), Some(number));
            assert_eq!(runner(&host.ask(Leave::Block(BlockReason::Receive, None))), None);
        }
        host
    }

    fn spawn(&mut self, number: Number, intent: &Intent, program: Vec<Step>) {
        let intent = intent.clone().with_affinity(CpuMask::single(0));
        let (id, _) = self.x.spawn(at(self.now), None, TaskSpec::new("", intent, number)).unwrap();
        self.ids.insert(number, id);
        self.programs.insert(number, program.into());
    }

    /// A client of a fixed priority; lower goes first.
    fn client(&mut self, number: Number, priority: u8, program: Vec<Step>) {
        self.spawn(number, &Intent::system(), program);
        let _ = self.x.set_priority(at(self.now), self.ids[&number], priority).unwrap();
    }

    fn ask(&mut self, leave: Leave) -> Decision<usize> {
        let decision = self.x.schedule(0, at(self.now), leave).unwrap();
        self.x.switched(0);
        decision
    }

    /// What those are lent for whom others wait, from `owner` on to whom it waits for.
    fn lend(&mut self, mut owner: Number) {
        for _ in 0..32 {
            let mut most = None;
            for waiter in self.services.values().filter(|s| s.owner == Some(owner)).flat_map(|s| &s.waiters) {
                let urgency = self.x.urgency(self.ids[waiter]).unwrap();
                if most.is_none_or(|most| urgency.exceeds(&most)) {
                    most = Some(urgency);
                }
            }
            if self.lends {
                let _ = self.x.inherit(at(self.now), self.ids[&owner], most).unwrap();
            }
            while let Some(&server) = self.called.get(&owner) {
                owner = server;
            }
            let next = self.waits_for.get(&owner).and_then(|server| self.services[server].owner);
            match next {
                Some(next) => owner = next,
                None => return,
            }
        }
        panic!("a circle");
    }

    /// Who works for `client` now.
    fn end_of_chain(&mut self, client: Number) -> Number {
        let (mut stack, mut length) = (client, 1);
        loop {
            let next = self.called.get(&stack).copied();
            match next.or_else(|| self.waits_for.get(&stack).and_then(|server| self.services[server].owner)) {
                Some(next) => (stack, length) = (next, length + 1),
                None => break,
            }
        }
        self.longest = self.longest.max(length);
        stack
    }

    fn perform(&mut self, me: Number) {
        match self.programs[&me].front().cloned() {
            Some(Step::Work) => {
                self.now += TICK;
                self.programs.get_mut(&me).unwrap().pop_front();
            }
            Some(Step::Call(server, body)) => {
                let service = self.services.get_mut(&server).unwrap();
                if *service.owner.get_or_insert(me) != me {
                    service.waiters.push(me);
                    let owner = service.owner.unwrap();
                    self.waits_for.insert(me, server);
                    self.lend(owner);
                    self.ask(Leave::Block(BlockReason::Mutex, None));
                    return;
                }
                self.programs.get_mut(&me).unwrap().pop_front();
                self.programs.insert(server, body.into());
                self.called.insert(me, server);
                let decision = self.x.call(0, self.ids[&server], None, || at(self.now)).unwrap();
                assert_eq!(runner(&decision), Some(server));
                self.x.switched(0);
            }
            None if me >= SERVERS => {
                let decision = self.x.reply(0, || at(self.now)).unwrap();
                self.x.switched(0);
                let caller = runner(&decision).unwrap();
                assert_eq!(self.called.remove(&caller), Some(me));
                self.release(me, caller);
            }
            None => {
                self.finished.push(me);
                self.programs.remove(&me);
                self.ask(Leave::Exit(0));
            }
        }
    }

    /// The turn goes to the most urgent of those who wait.
    fn release(&mut self, server: Number, before: Number) {
        let service = self.services.get_mut(&server).unwrap();
        service.owner = None;
        let urgency = |number: &Number| self.x.urgency(self.ids[number]).unwrap();
        let heir = (0..service.waiters.len())
            .reduce(|a, b| if urgency(&service.waiters[b]).exceeds(&urgency(&service.waiters[a])) { b } else { a });
        if let Some(heir) = heir {
            let heir = service.waiters.swap_remove(heir);
            service.owner = Some(heir);
            self.waits_for.remove(&heir);
            self.lend(heir);
            let _ = self.x.unpark(at(self.now), self.ids[&heir]).unwrap();
        }
        self.lend(before);
    }

    /// Runs until everybody has finished; `arrive` brings clients. After each decision `check` sees who runs.
    fn run(&mut self, mut arrive: impl FnMut(&mut Host) -> bool, mut check: impl FnMut(&mut Host, Number)) {
        loop {
            let more = arrive(self);
            match runner(&self.ask(Leave::Ask)) {
                Some(me) => {
                    check(self, me);
                    self.perform(me);
                }
                None if more => self.now += TICK,
                None => return,
            }
        }
    }
}

fn runner(decision: &Decision<usize>) -> Option<Number> {
    decision.next.map(|next| next.context)
}

/// A low task is in a call when a high one wants the same server, and a middle one wants the CPU. Answers who ends in which order,
/// and how long the high one has taken.
fn classic(lends: bool) -> (Vec<Number>, u64) {
    const LOW: Number = 3;
    const MIDDLE: Number = 2;
    const HIGH: Number = 1;
    let mut host = Host::new(1, lends);
    host.client(LOW, 30, vec![Step::Call(SERVERS, work(10))]);
    let mut ticks = 0;
    let mut took = 0;
    host.run(
        |host| {
            ticks += 1;
            if ticks == 5 {
                host.client(HIGH, 10, vec![Step::Call(SERVERS, work(3))]);
                host.client(MIDDLE, 20, work(1000));
            }
            ticks < 5
        },
        |host, _| {
            if host.finished.contains(&HIGH) && took == 0 {
                took = host.now;
            }
        },
    );
    (host.finished, took)
}

#[test]
fn the_classic_inversion_of_three_tasks_is_bounded_by_what_the_server_does() {
    assert_eq!(classic(true), (vec![1, 2, 3], 13 * TICK), "what is left of the low one's call, and its own");
    let (order, took) = classic(false);
    assert_eq!(order, [2, 1, 3], "without loans the middle one comes between");
    assert!(took > 1000 * TICK);
}

#[test]
fn a_chain_of_eight_waits_works_for_the_one_at_its_head() {
    for lends in [true, false] {
        let mut host = Host::new(8, lends);
        let mut arrived = 8;
        host.client(8, 38, vec![Step::Call(SERVERS + 8 - 1, work(20))]);
        host.run(
            |host| {
                // Client n is served by server n, which needs server n + 1, which is busy: a middle one comes last.
                if arrived > 0 && host.end_of_chain(8) >= SERVERS && host.programs[&(SERVERS + 7)].len() < 15 {
                    arrived -= 1;
                    let n = arrived;
                    if n == 0 {
                        host.client(50, 20, work(1000));
                    } else {
                        let inner = vec![Step::Work, Step::Call(SERVERS + n, work(1))];
                        let priority = if n == 1 { 10 } else { 30 + n as u8 };
                        host.client(n, priority, vec![Step::Call(SERVERS + n - 1, inner)]);
                    }
                }
                arrived > 0
            },
            |host, _| {
                if host.programs.contains_key(&1) {
                    host.end_of_chain(1);
                }
            },
        );
        assert_eq!(host.longest, 16, "8 clients, and the server of each");
        let place = |n| host.finished.iter().position(|&f| f == n).unwrap();
        assert_eq!(place(1) < place(50), lends);
        assert!(host.finished.len() == 9 && place(2) > place(50), "the others are below the middle one again");
    }
}

#[test]
fn eight_nested_calls_are_on_the_time_of_the_first_caller() {
    let mut host = Host::new(8, true);
    let mut program = work(7);
    for n in (0..8).rev() {
        program = vec![Step::Work, Step::Call(SERVERS + n, program), Step::Work];
    }
    host.client(1, 10, program);
    let (mut depth, mut spent) = (0, 0);
    let client = host.ids[&1];
    host.run(
        |_| false,
        |host, me| {
            let others = (0..8).map(|n| host.x.task_stats(at(host.now), host.ids[&(SERVERS + n)]).unwrap().cpu_time);
            assert_eq!(others.sum::<u64>(), 0);
            assert_eq!(host.x.carrier_of(host.ids[&me]), Ok(client));
            depth = depth.max(me);
            spent = host.x.task_stats(at(host.now), client).unwrap().cpu_time;
        },
    );
    assert_eq!((depth, spent), (SERVERS + 7, 23 * TICK));
}

/// A program of calls that nest in the order of servers, so that none is a circle.
fn program(rng: &mut Rng, first: Number, servers: usize) -> Vec<Step> {
    let mut steps = work(rng.below(4) as usize);
    for _ in 0..1 + rng.below(3) {
        if first < SERVERS + servers {
            let server = first + rng.below((SERVERS + servers - first) as u64) as usize;
            steps.push(Step::Call(server, program(rng, server + 1, servers)));
            steps.extend(work(rng.below(3) as usize));
        }
    }
    steps
}

#[test]
fn in_random_chains_whoever_the_most_urgent_waits_for_runs() {
    let (mut longest, mut waited) = (0, 0u64);
    for seed in 0..600 {
        let mut rng = Rng::new(seed);
        let servers = 1 + rng.below(8) as usize;
        let clients = 2 + rng.below(8) as usize;
        let mut host = Host::new(servers, true);
        let mut left: Vec<(u64, Number, u8)> = Vec::new();
        let mut priorities = HashSet::new();
        for number in 0..clients {
            let priority = 1 + rng.below(200) as u8;
            if priorities.insert(priority) {
                left.push((rng.below(30) * TICK, number, priority));
            }
        }
        let expected = left.len();
        let mut programs = Rng::new(!seed);
        host.run(
            |host| {
                left.retain(|&(time, number, priority)| {
                    let due = time <= host.now;
                    if due {
                        let program = program(&mut programs, SERVERS, servers);
                        host.client(number, priority, program);
                    }
                    !due
                });
                !left.is_empty()
            },
            |host, me| {
                let alive = host.ids.iter().filter(|(n, _)| **n < SERVERS && host.programs.contains_key(n));
                let urgency = |(&n, &id): (&Number, &TaskId)| (host.x.with_task(id, |task| task.priority).unwrap(), n);
                let here: Vec<_> = alive.map(urgency).collect();
                let (_, first) = *here.iter().min().unwrap();
                assert_eq!(me, host.end_of_chain(first), "seed {seed}: {here:?}");
                waited += u64::from(!host.waits_for.is_empty());
            },
        );
        assert_eq!(host.finished.len(), expected, "seed {seed}: all come to their ends");
        longest = longest.max(host.longest);
    }
    assert!(longest >= 8 && waited > 1_000, "chains of {longest}, {waited} decisions while somebody waited");
}
