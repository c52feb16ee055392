//! Random calls by random domains, compared with a model that is as simple as it can be: sets, sums, and a walk up the tree.

mod common;

use common::at;
use common::lock::Lock;
use dis_core::api::{SchedError, SchedResult, TaskId, TaskSpec};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Ceiling, Domain, DomainSpec, Quota, Right, Rights};
use dis_core::scheduler::Config;
use proptest::prelude::*;

/// What a domain is in the model.
struct Node {
    domain: Domain,
    parent: Option<usize>,
    rights: Vec<Right>,
    ceiling: Ceiling,
    quota: Quota,
}

/// A task: its domain (`None`: the root), class and priority, the memory it has.
struct Job {
    id: TaskId,
    domain: Option<usize>,
    class: QueueType,
    memory: u64,
}

#[derive(Debug, Clone)]
enum Call {
    Make { by: usize, parent: usize, rights: u8, class: usize, tasks: Option<u32>, memory: Option<u64> },
    Restrict { domain: usize, keep: u8 },
    Spawn { by: usize, place: usize, class: usize },
    Kill { by: usize, task: usize },
    Unpark { by: usize, task: usize },
    Priority { by: usize, task: usize, priority: u8 },
    Intent { by: usize, task: usize, class: usize },
    Charge { task: usize, bytes: u64 },
    Uncharge { task: usize, bytes: u64 },
}

fn call() -> impl Strategy<Value = Call> {
    let n = 0..12usize;
    let quota = (proptest::option::of(0..6u32), proptest::option::of(0..1000u64));
    prop_oneof![
        2 => (n.clone(), n.clone(), any::<u8>(), 0..5usize, quota)
            .prop_map(|(by, parent, rights, class, (tasks, memory))| Call::Make {
                by, parent, rights: rights | 1, class, tasks, memory }),
        1 => (n.clone(), any::<u8>()).prop_map(|(domain, keep)| Call::Restrict { domain, keep: keep | 0x55 }),
        4 => (n.clone(), n.clone(), 0..5usize).prop_map(|(by, place, class)| Call::Spawn { by, place, class }),
        2 => (n.clone(), n.clone()).prop_map(|(by, task)| Call::Kill { by, task }),
        2 => (n.clone(), n.clone()).prop_map(|(by, task)| Call::Unpark { by, task }),
        2 => (n.clone(), n.clone(), any::<u8>()).prop_map(|(by, task, priority)| Call::Priority { by, task, priority }),
        2 => (n.clone(), n.clone(), 0..5usize).prop_map(|(by, task, class)| Call::Intent { by, task, class }),
        2 => (n.clone(), 0..400u64).prop_map(|(task, bytes)| Call::Charge { task, bytes }),
        1 => (n, 0..400u64).prop_map(|(task, bytes)| Call::Uncharge { task, bytes }),
    ]
}

fn intent(class: usize) -> Intent {
    [
        Intent::system(),
        Intent::realtime(1_000_000, 1_000_000, 1),
        Intent::interactive(1_000),
        Intent::batch(),
        Intent::background(),
    ][class]
        .clone()
}

struct World {
    core: Executor<u32, Lock>,
    nodes: Vec<Node>,
    jobs: Vec<Job>,
    denied: u64,
}

const DENIED: SchedError = SchedError::PermissionDenied;

impl World {
    /// The domain and those above it.
    fn way(&self, from: Option<usize>) -> Vec<usize> {
        std::iter::successors(from, |&node| self.nodes[node].parent).collect()
    }

    fn has(&self, by: Option<usize>, right: Right) -> bool {
        self.way(by).iter().all(|&node| self.nodes[node].rights.contains(&right))
    }

    fn reaches(&self, by: Option<usize>, what: Option<usize>) -> bool {
        by.is_none_or(|by| self.way(what).contains(&by))
    }

    fn tasks_in(&self, node: usize) -> u32 {
        let jobs = self.jobs.iter().filter(|job| self.way(job.domain).contains(&node)).count();
        let below = (0..self.nodes.len()).filter(|&other| self.way(self.nodes[other].parent).contains(&node)).count();
        (jobs + below) as u32
    }

    fn memory_in(&self, node: usize) -> u64 {
        self.jobs.iter().filter(|job| self.way(job.domain).contains(&node)).map(|job| job.memory).sum()
    }

    fn room_for_task(&self, place: Option<usize>) -> bool {
        let full = |&node: &usize| self.nodes[node].quota.tasks.is_some_and(|most| self.tasks_in(node) >= most);
        !self.way(place).iter().any(full)
    }

    /// The verdict of the model on a call that needs a right on a task.
    fn judge(&self, by: Option<usize>, right: Right, job: &Job) -> Result<(), SchedError> {
        if self.has(by, right) && self.reaches(by, job.domain) { Ok(()) } else { Err(DENIED) }
    }

    /// Compares the answers; counts what was refused for want of a right. A ceiling is no right, so `counted` says which it was.
    fn compare<T>(&mut self, got: &SchedResult<T>, want: Result<(), SchedError>, counted: bool, call: &Call) {
        let got = got.as_ref().map(drop).map_err(|&error| error);
        assert_eq!(got, want, "{call:?}");
        self.denied += u64::from(want == Err(DENIED) && counted);
    }

    fn step(&mut self, call: &Call) {
        let now = at(0);
        // Number 0 is the root.
        let pick = |number: usize, nodes: &Vec<Node>| (number % (nodes.len() + 1)).checked_sub(1);
        match *call {
            Call::Make { by, parent, rights, class, tasks, memory } => {
                let (by, parent) = (pick(by, &self.nodes), pick(parent, &self.nodes));
                let wanted: Vec<Right> = Right::ALL.into_iter().filter(|&r| rights >> r as u8 & 1 == 1).collect();
                let (ceiling, quota) = (Ceiling::of(QueueType::ALL[class]), Quota { tasks, memory, cpu: None });
                // The root is not named as a place: it means the caller's own.
                let place = parent.or(by);
                let allowed = self.has(by, Right::Spawn) && self.reaches(by, place);
                let attenuated = wanted.iter().all(|&right| self.has(place, right))
                    && place.is_none_or(|place| self.nodes[place].ceiling.allows(ceiling.class, ceiling.priority));
                let depth = self.way(place).len();
                let verdict = match () {
                    () if !allowed || !attenuated => Err(DENIED),
                    () if depth >= 8 => return,
                    () if !self.room_for_task(place) => Err(SchedError::ResourceExhausted),
                    () => Ok(()),
                };
                let spec = DomainSpec::new("")
                    .with_rights(wanted.iter().copied().collect())
                    .with_ceiling(ceiling)
                    .with_quota(quota);
                let place_domain = parent.map(|node| self.nodes[node].domain.clone());
                let made = match by {
                    Some(by) => {
                        let subject = self.core.as_domain(&self.nodes[by].domain);
                        subject.create_domain(now, place_domain.as_ref(), spec)
                    }
                    None => self.core.create_domain(place_domain.as_ref(), spec),
                };
                self.compare(&made, verdict, !allowed, call);
                if let Ok(domain) = made {
                    self.nodes.push(Node { domain, parent: place, rights: wanted, ceiling, quota });
                }
            }
            Call::Restrict { domain, keep } => {
                let Some(node) = pick(domain, &self.nodes) else { return };
                let kept = Right::ALL.into_iter().filter(|&right| keep >> right as u8 & 1 == 1);
                self.nodes[node].domain.restrict(kept.collect::<Rights>());
                self.nodes[node].rights.retain(|&right| keep >> right as u8 & 1 == 1);
            }
            Call::Spawn { by, place, class } => {
                let (Some(by), place) = (pick(by, &self.nodes), pick(place, &self.nodes)) else { return };
                let place = place.unwrap_or(by);
                let allowed = self.has(Some(by), Right::Spawn) && self.reaches(Some(by), Some(place));
                let verdict = match () {
                    () if !allowed => Err(DENIED),
                    () if QueueType::ALL[class] < self.nodes[place].ceiling.class => Err(DENIED),
                    () if !self.room_for_task(Some(place)) => Err(SchedError::ResourceExhausted),
                    () => Ok(()),
                };
                let spec = TaskSpec::new("", intent(class), 0).in_domain(&self.nodes[place].domain);
                let spawned = self.core.as_domain(&self.nodes[by].domain).spawn(now, None, spec);
                self.compare(&spawned, verdict, !allowed, call);
                if let Ok((id, _)) = spawned {
                    let job = Job { id, domain: Some(place), class: QueueType::ALL[class], memory: 0 };
                    self.jobs.push(job);
                }
            }
            Call::Kill { by, task } => {
                let Some((by, task)) = self.both(by, task) else { return };
                let verdict = self.judge(Some(by), Right::Kill, &self.jobs[task]);
                let killed = self.core.as_domain(&self.nodes[by].domain).kill(now, self.jobs[task].id);
                self.compare(&killed, verdict, true, call);
                if killed.is_ok() {
                    self.jobs.remove(task);
                }
            }
            Call::Unpark { by, task } => {
                let Some((by, task)) = self.both(by, task) else { return };
                let verdict = self.judge(Some(by), Right::Wake, &self.jobs[task]);
                let woken = self.core.as_domain(&self.nodes[by].domain).unpark(now, self.jobs[task].id);
                self.compare(&woken, verdict, true, call);
            }
            Call::Priority { by, task, priority } => {
                let Some((by, task)) = self.both(by, task) else { return };
                let job = &self.jobs[task];
                let allowed = self.judge(Some(by), Right::SetPriority, job);
                let below = job.domain.is_none_or(|node| self.nodes[node].ceiling.allows(job.class, priority));
                let verdict = if below { allowed } else { Err(DENIED) };
                let set = self.core.as_domain(&self.nodes[by].domain).set_priority(now, job.id, priority);
                self.compare(&set, verdict, allowed.is_err(), call);
            }
            Call::Intent { by, task, class } => {
                let Some((by, task)) = self.both(by, task) else { return };
                let (job, to) = (&self.jobs[task], QueueType::ALL[class]);
                let raises = to < job.class && !self.has(Some(by), Right::RaiseClass);
                let allowed = self.judge(Some(by), Right::SetIntent, job);
                let allowed = if raises { Err(DENIED) } else { allowed };
                let above = job.domain.is_some_and(|node| to < self.nodes[node].ceiling.class);
                let verdict = if above { Err(DENIED) } else { allowed };
                let set = self.core.as_domain(&self.nodes[by].domain).set_intent(now, job.id, &intent(class));
                self.compare(&set, verdict, allowed.is_err(), call);
                if set.is_ok() {
                    self.jobs[task].class = to;
                }
            }
            Call::Charge { task, bytes } => {
                let Some(task) = task.checked_rem(self.jobs.len()) else { return };
                let full = |&node: &usize| {
                    self.nodes[node].quota.memory.is_some_and(|most| self.memory_in(node) + bytes > most)
                };
                let exhausted = self.way(self.jobs[task].domain).iter().any(full);
                let verdict = if exhausted { Err(SchedError::ResourceExhausted) } else { Ok(()) };
                let charged = self.core.charge_memory(self.jobs[task].id, bytes);
                self.compare(&charged, verdict, false, call);
                if charged.is_ok() {
                    self.jobs[task].memory += bytes;
                }
            }
            Call::Uncharge { task, bytes } => {
                let Some(task) = task.checked_rem(self.jobs.len()) else { return };
                self.core.uncharge_memory(self.jobs[task].id, bytes).unwrap();
                self.jobs[task].memory = self.jobs[task].memory.saturating_sub(bytes);
            }
        }
        self.agree();
    }

    fn both(&self, by: usize, task: usize) -> Option<(usize, usize)> {
        Some((by.checked_rem(self.nodes.len())?, task.checked_rem(self.jobs.len())?))
    }

    fn agree(&self) {
        assert_eq!(self.core.denied(), self.denied);
        for (number, node) in self.nodes.iter().enumerate() {
            let usage = node.domain.usage();
            assert_eq!((usage.tasks, usage.memory), (self.tasks_in(number), self.memory_in(number)));
            for right in Right::ALL {
                assert_eq!(node.domain.has(right), self.has(Some(number), right));
                assert!(!node.domain.has(right) || node.parent.is_none_or(|parent| self.has(Some(parent), right)));
            }
        }
        for job in &self.jobs {
            let (class, priority) = self.core.with_task(job.id, |t| (t.intent.class.queue(), t.priority)).unwrap();
            assert!(class == job.class && job.domain.is_none_or(|d| self.nodes[d].ceiling.allows(class, priority)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 5_000 }))]

    #[test]
    fn rights_and_quotas_are_those_of_the_model(calls in proptest::collection::vec(call(), 1..80)) {
        let core = Executor::new(Config { admission: false, ..Config::new(2) }).unwrap();
        let mut world = World { core, nodes: Vec::new(), jobs: Vec::new(), denied: 0 };
        calls.iter().for_each(|call| world.step(call));
        // Nothing is left when all have ended.
        for job in std::mem::take(&mut world.jobs) {
            let _ = world.core.kill(at(0), job.id).unwrap();
        }
        world.agree();
        prop_assert!(world.core.schedule(0, at(0), Leave::Ask).unwrap().next.is_none());
    }
}
