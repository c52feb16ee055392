//! The short ways decide and count as the long way.

#[path = "common/lock.rs"]
mod lock;
#[allow(dead_code)]
#[path = "common/rng.rs"]
mod rng;

use dis_core::api::{BlockReason, CpuMask, TaskId, TaskSpec, TaskState, Timestamp};
use dis_core::executor::{Executor, Leave, Roused};
use dis_core::intent::{Intent, QueueType};
use dis_core::modules::SchedulerRegistry;
use dis_core::scheduler::Config;
use lock::Lock;
use rng::Rng;

const NAMES: [&str; 4] = ["round-robin", "priority", "edf", "fair"];

type Core = Executor<u64, Lock>;

fn intent(rng: &mut Rng, cpus: usize) -> Intent {
    let intent = match rng.below(7) {
        0 => Intent::system(),
        1 => Intent::realtime(10_000, 5_000 + 1_000 * rng.below(5), 100 + rng.below(900)),
        2 | 3 => Intent::interactive(500 + 500 * rng.below(6)),
        4 => Intent::background(),
        5 => Intent::batch().with_cpu_share(0, 200),
        _ => Intent::batch(),
    };
    match rng.below(4) {
        0 => intent.with_affinity(CpuMask::single(rng.below(cpus as u64) as usize)),
        _ => intent,
    }
}

/// How often a wake-up and a question were one, and how often the woken task ran at once.
fn run(seed: u64) -> [u32; 2] {
    let (mut directly, mut switched) = (0, 0);
    let mut rng = Rng::new(seed);
    let cpus = 1 + rng.below(3) as usize;
    let mut modules = SchedulerRegistry::with_builtins();
    for class in QueueType::ALL {
        if rng.below(4) == 0 {
            modules.set_active(class, NAMES[rng.below(4) as usize]).unwrap();
        }
    }
    let core = || -> Core { Executor::with_modules(Config::new(cpus), &modules).unwrap() };
    let (short, long) = (core(), core());
    let most = if rng.below(4) == 0 { 200 } else { 8 };
    let mut ids: Vec<TaskId> = Vec::new();
    let mut now = 0;
    for step in 0..1_500 {
        now += [0, 100, 300, 5_000, 100_000, 2_000_000][rng.below(6) as usize];
        let at = Timestamp::from_nanos(now);
        let cpu = rng.below(cpus as u64) as usize;
        let id = if ids.is_empty() { TaskId::INVALID } else { ids[rng.below(ids.len() as u64) as usize] };
        match rng.below(16) {
            0..=2 if ids.len() < most => {
                let spec = TaskSpec::new("", intent(&mut rng, cpus), step);
                let spawned = short.spawn(at, Some(cpu), spec.clone());
                assert_eq!(spawned, long.spawn(at, Some(cpu), spec));
                ids.extend(spawned.map(|(id, _)| id));
            }
            3 | 4 => assert_eq!(short.unpark(at, id), long.unpark(at, id)),
            5 => {
                let priority = rng.below(256) as u8;
                assert_eq!(short.set_priority(at, id, priority), long.set_priority(at, id, priority));
            }
            6 if rng.below(4) == 0 => {
                let movable = rng.below(2) == 0;
                assert_eq!(short.set_movable(id, movable), long.set_movable(id, movable));
            }
            7 => {
                let lent =
                    (rng.below(2) == 0).then(|| ids.first().and_then(|&first| long.urgency(first).ok())).flatten();
                assert_eq!(short.inherit(at, id, lent), long.inherit(at, id, lent));
            }
            8 if rng.below(2) == 0 => {
                let mask = CpuMask::single(rng.below(cpus as u64) as usize);
                // Who has a time-out is placed for another reason.
                let moved =
                    |core: &Core| core.set_affinity(at, id, mask).map(|wake| (wake.cpu, wake.interrupt, wake.until));
                assert_eq!(moved(&short), moved(&long));
            }
            9 => {
                let from = rng.below(ids.len().max(1) as u64) as usize;
                let blocked = |&id: &TaskId| {
                    short.with_task(id, |task| task.state()).is_ok_and(|state| state == TaskState::Blocked)
                };
                let id = ids.iter().cycle().skip(from).take(ids.len()).copied().find(blocked).unwrap_or(id);
                let leave = [Leave::Ask, Leave::Block(BlockReason::Ipc, None), Leave::Yield][rng.below(3) as usize];
                match short.unpark_and(cpu, at, id, leave) {
                    Ok(Roused::Wake(wake)) => assert_eq!(Ok(wake), long.unpark(at, id)),
                    Ok(Roused::Decision(decision)) => {
                        directly += 1;
                        switched += u32::from(decision.next.is_some_and(|next| next.id == id));
                        let _ = long.unpark(at, id).unwrap();
                        let asked = long.schedule_at_length(cpu, at, leave);
                        assert_eq!(Ok(decision), asked, "seed {seed}, step {step}, unpark, {leave:?}");
                        assert_eq!(short.switched(cpu), long.switched(cpu));
                    }
                    Err(error) => assert_eq!(Err(error), long.unpark(at, id)),
                }
            }
            10 if rng.below(8) == 0 => assert_eq!(short.kill(at, id), long.kill(at, id)),
            choice => {
                let yields = rng.below(8) < 5;
                let other = match choice {
                    8..=11 => Leave::Ask,
                    12..=13 => Leave::Block(BlockReason::Event, None),
                    14 => Leave::Sleep(Timestamp::from_nanos(now + 100 * rng.below(60))),
                    _ if rng.below(8) == 0 => Leave::Exit(0),
                    _ => Leave::Ask,
                };
                let leave = if yields { Leave::Yield } else { other };
                let decision = short.schedule(cpu, at, leave);
                assert_eq!(decision, long.schedule_at_length(cpu, at, leave), "seed {seed}, step {step}, {leave:?}");
                if rng.below(8) > 0 {
                    assert_eq!(short.switched(cpu), long.switched(cpu));
                }
            }
        }
        ids.retain(|&id| short.cpu_of(id).is_ok());
    }
    assert_eq!(short.stats(), long.stats());
    for id in ids {
        let told = |core: &Core| core.with_task(id, |t| (t.state(), t.stats, t.deadline, t.history, t.job())).unwrap();
        assert_eq!(told(&short), told(&long));
    }
    [directly, switched]
}

#[test]
fn the_short_ways_are_the_long_way() {
    let [directly, switched] = (1..=400).map(run).fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
    assert!(
        directly > 3_000 && switched > 1_500,
        "wake-ups with a question: {directly}, to the woken task: {switched}"
    );
}
