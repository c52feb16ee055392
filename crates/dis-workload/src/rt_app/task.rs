//! One member of `tasks`: a thread of rt-app, a task here.

use std::collections::{HashMap, HashSet};

use dis_core::api::{CpuMask, Duration};
use dis_core::intent::{Intent, IntentClass, IntentError};

use super::classify::classify;
use super::events::{EVENTS, Events, event_of, loop_count};
use super::global::Global;
use super::json::{Member, Value};
use super::phases::{Phases, read_events, read_phases};
use super::policy::{Policy, dis_priority};
use super::values::{cpus, integer, micros};
use crate::model::{Interner, MAX_INSTANCES, Phase, Release, Repeat, Step, TaskSpec};
use crate::text::{Context, did_you_mean, shorten};

/// Where a task and each of its steps are in the file.
pub(super) struct Place {
    pub at: usize,
    pub steps: Vec<Vec<usize>>,
}

/// What has been read so far.
pub(super) struct Reader {
    pub objects: Interner,
    pub tasks: Vec<TaskSpec>,
    pub places: Vec<Place>,
    /// How many tasks asked for each name.
    pub names: HashMap<String, u64>,
    pub global: Global,
}

/// Keys without an effect here, and why.
const IGNORED: [(&str, &str); 4] = [
    ("util_min", "DIS has no utilisation clamps; intents say what a task needs"),
    ("util_max", "DIS has no utilisation clamps; intents say what a task needs"),
    ("taskgroup", "DIS has no control groups"),
    ("nodes_membind", "DIS does not bind memory of rt-app workloads to NUMA nodes"),
];
/// Of the grammar before rt-app 1.0.
const OLD: [&str; 5] = ["exec", "period", "deadline", "lock_order", "resources"];
const KEYS: [&str; 10] =
    ["instance", "loop", "phases", "policy", "priority", "dl-runtime", "dl-period", "dl-deadline", "cpus", "delay"];

/// The values of a task's keys.
#[derive(Default)]
struct Keys<'n, 'a> {
    policy: Policy,
    priority: Option<&'n Member<'a>>,
    instances: usize,
    repeat: Option<Repeat>,
    affinity: Option<CpuMask>,
    delay: Duration,
    runtime: Option<Duration>,
    period: Option<Duration>,
    deadline: Option<Duration>,
    phases: Option<&'n Member<'a>>,
    old: bool,
}

impl Reader {
    /// Reads one task and adds it, unless it is broken.
    pub fn read(&mut self, cx: &mut Context<'_>, member: &Member<'_>) {
        let path = format!("tasks.{}", shorten(&member.key));
        let Value::Object(members) = &member.value.value else {
            let message = format!("is {}; a task is an object", member.value.value.kind());
            return cx.problem(member.value.at, path, message);
        };
        let before = cx.problems();
        let keys = read_keys(cx, members, &path, self.global.default_policy);
        let mut events = Events { objects: &mut self.objects, task: &member.key, held: HashSet::new() };
        let own_events = members.iter().any(|member| event_of(&member.key).is_some());
        let phases = match keys.phases {
            Some(phases) => {
                for event in members.iter().filter(|member| event_of(&member.key).is_some()) {
                    let field = format!("{path}.{}", shorten(&event.key));
                    cx.note(event.at, field, "ignored: events beside `phases` have no effect in rt-app either");
                }
                read_phases(cx, &phases.value, &format!("{path}.phases"), &mut events)
            }
            None => {
                let (steps, places): (Vec<_>, Vec<_>) =
                    read_events(cx, members, &path, &mut events).into_iter().unzip();
                vec![(Phase { name: None, repeat: 1, affinity: None, steps }, places)]
            }
        };
        if keys.phases.is_none() && !own_events {
            let hint = if keys.old {
                "; `exec`, `lock_order` and `resources` are the grammar of rt-app before 1.0, which is not read"
            } else {
                ", such as \"run\" : 1000"
            };
            return cx.problem(member.at, path, format!("has no event; a task needs at least one{hint}"));
        }
        if phases.iter().all(|(phase, _)| phase.steps.is_empty()) {
            if cx.problems() == before {
                cx.problem(member.at, path, "has no event that does anything; add a `run`, `sleep` or `timer`");
            }
            return;
        }
        self.add(cx, member, &path, &keys, phases);
    }

    fn add(&mut self, cx: &mut Context<'_>, member: &Member<'_>, path: &str, keys: &Keys<'_, '_>, phases: Phases) {
        let (mut phases, mut places): (Vec<_>, Vec<_>) = phases.into_iter().unzip();
        let class = match keys.policy {
            Policy::Other => classify(&phases),
            Policy::Batch => IntentClass::Batch,
            Policy::Idle => IntentClass::Background,
            Policy::Fifo | Policy::Rr => IntentClass::System,
            Policy::Deadline => deadline_class(keys),
        };
        let mut intent = Intent { class, constraints: Default::default(), qos: Default::default() };
        intent.constraints.cpu_affinity = keys.affinity;
        if let Err(reason) = intent.validate() {
            contradiction(cx, member, path, reason);
        }
        let release = match keys.policy {
            Policy::Deadline => pace(cx, &mut phases, &mut places, keys.period.or(keys.runtime), path),
            _ => Release::Free,
        };
        let priority = self.priority(cx, path, keys, &class);
        let name = self.unique_name(cx, member, path);
        self.places.push(Place { at: member.at, steps: places });
        self.tasks.push(TaskSpec {
            overrun: false,
            name,
            instances: keys.instances,
            intent,
            priority,
            offset: keys.delay,
            release,
            phases,
            repeat: keys.repeat.unwrap_or_default(),
            dedicated: false,
            best_effort: Vec::new(),
            domain: None,
            line: cx.line(member.at),
        });
    }

    fn priority(&self, cx: &mut Context<'_>, path: &str, keys: &Keys<'_, '_>, class: &IntentClass) -> Option<u8> {
        let field = format!("{path}.priority");
        let node = keys.priority.map(|member| &member.value);
        let value = keys.policy.priority(cx, node, &field);
        match (keys.policy, keys.priority) {
            (Policy::Deadline, Some(member)) => {
                cx.note(member.at, field, "ignored: deadlines order Realtime tasks, not priorities");
                None
            }
            (Policy::Fifo | Policy::Rr, _) | (_, Some(_)) => {
                Some(dis_priority(keys.policy, value, class.to_priority()))
            }
            _ => None,
        }
    }

    /// The task's name: `/` is kept for instances, and a repeated name gets a number.
    fn unique_name(&mut self, cx: &mut Context<'_>, member: &Member<'_>, path: &str) -> String {
        let plain = member.key.replace(|c: char| c == '/' || c.is_control(), "_");
        let plain = if plain.is_empty() { "task".to_string() } else { plain };
        let mut name = plain.clone();
        let number = self.names.entry(plain.clone()).or_insert(0);
        *number += 1;
        let mut number = *number;
        while number > 1 {
            name = format!("{plain}#{number}");
            // Only a task that is itself called `t#2` can have taken this name.
            if !self.names.contains_key(&name) {
                self.names.insert(plain.clone(), number);
                self.names.insert(name.clone(), 1);
                break;
            }
            number += 1;
        }
        if name != member.key {
            cx.note(member.at, path, format!("called `{name}`, as names must be unique and without `/`"));
        }
        name
    }
}

fn read_keys<'n, 'a>(cx: &mut Context<'_>, members: &'n [Member<'a>], path: &str, policy: Policy) -> Keys<'n, 'a> {
    let mut keys = Keys { policy, instances: 1, ..Keys::default() };
    if let Some(member) = members.iter().rev().find(|member| member.key == "policy") {
        keys.policy = Policy::read(cx, &member.value, &format!("{path}.policy")).unwrap_or(policy);
    }
    for member in members {
        let (key, node, field) = (member.key.as_ref(), &member.value, format!("{path}.{}", shorten(&member.key)));
        let deadline = keys.policy == Policy::Deadline;
        match key {
            "policy" => {}
            "instance" => {
                let count = integer(cx, node, &field, 1, MAX_INSTANCES as i64);
                keys.instances = count.map_or(1, |count| count as usize);
            }
            "loop" => {
                keys.repeat = loop_count(cx, node, &field).map(|count| count.map_or(Repeat::Forever, Repeat::Times));
            }
            "phases" => keys.phases = Some(member),
            "priority" => keys.priority = Some(member),
            "cpus" => keys.affinity = cpus(cx, node, &field),
            "delay" => keys.delay = micros(cx, node, &field).unwrap_or_default(),
            "dl-runtime" if deadline => keys.runtime = micros(cx, node, &field),
            "dl-period" if deadline => keys.period = micros(cx, node, &field),
            "dl-deadline" if deadline => keys.deadline = micros(cx, node, &field),
            "dl-runtime" | "dl-period" | "dl-deadline" => {
                cx.note(member.at, field, "ignored: the task's policy is not SCHED_DEADLINE");
            }
            _ if event_of(key).is_some() => {}
            _ if OLD.contains(&key) => {
                keys.old = true;
                cx.note(member.at, field, "ignored: of the grammar of rt-app before 1.0");
            }
            _ => match IGNORED.iter().find(|(name, _)| *name == key) {
                Some((_, why)) => cx.note(member.at, field, format!("ignored: {why}")),
                None => {
                    let hint = did_you_mean(key, KEYS.into_iter().chain(EVENTS));
                    cx.note(member.at, field, format!("ignored: not a key of a task{hint}"));
                }
            },
        }
    }
    keys
}

/// Reports what is wrong with a task's intent, at the key that is to be changed if the file has it.
fn contradiction(cx: &mut Context<'_>, task: &Member<'_>, path: &str, reason: IntentError) {
    let (key, message) = match reason {
        IntentError::ZeroPeriod | IntentError::ZeroDeadline | IntentError::ZeroWcet => {
            ("dl-runtime", "must be given, above 0, with SCHED_DEADLINE".to_string())
        }
        IntentError::WcetExceedsDeadline => {
            ("dl-runtime", "must be at most `dl-deadline` (default: `dl-period`)".into())
        }
        IntentError::DeadlineExceedsPeriod => {
            ("dl-deadline", "must be at most `dl-period` (default: `dl-runtime`)".into())
        }
        _ => return cx.problem(task.at, path, reason.to_string()),
    };
    let members = if let Value::Object(members) = &task.value.value { members.as_slice() } else { &[] };
    let at = members.iter().rev().find(|member| member.key == key).map_or(task.at, |member| member.value.at);
    cx.problem(at, format!("{path}.{key}"), message);
}

/// SCHED_DEADLINE's parameters with rt-app's defaults: the period is the runtime, the deadline is the period.
fn deadline_class(keys: &Keys<'_, '_>) -> IntentClass {
    let micros = |time: Duration| time.as_nanos() / 1_000;
    let runtime = keys.runtime.unwrap_or_default();
    let period = keys.period.unwrap_or(runtime);
    let deadline = keys.deadline.unwrap_or(period);
    IntentClass::Realtime { period_us: micros(period), deadline_us: micros(deadline), wcet_us: micros(runtime) }
}

/// How a SCHED_DEADLINE task is released: periodically when the body is one job that ends by waiting for its next
/// period (a `yield`, or a timer of that period), which the release then does; else by the body's own steps.
fn pace(
    cx: &mut Context<'_>,
    phases: &mut [Phase],
    places: &mut [Vec<usize>],
    period: Option<Duration>,
    path: &str,
) -> Release {
    let ([phase], [places], Some(dl_period)) = (phases, places, period) else { return Release::Free };
    let Some((last, rest)) = phase.steps.split_last() else { return Release::Free };
    let ends_job = match last {
        Step::Yield => true,
        Step::Timer { period, .. } => *period == dl_period,
        _ => false,
    };
    if !ends_job || phase.repeat != 1 || rest.is_empty() || rest.iter().any(Step::sleeps) {
        return Release::Free;
    }
    phase.steps.pop();
    if let Some(at) = places.pop() {
        let text = "replaced by the periodic release of the Realtime task: one pass is one job";
        cx.note(at, path, text);
    }
    Release::Periodic(dl_period)
}
