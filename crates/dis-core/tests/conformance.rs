//! Every type, constant and method that the API reference names, in the order of its sections; where DIS differs, the
//! replacement. The reasons are in `docs/differences.md`.

mod common;

use common::lock::Lock;
use dis_core::api::{
    BlockReason, CpuMask, Duration, ExitStatus, SchedError, SchedResult, Task, TaskApi, TaskId, TaskSpec, TaskState,
    TaskStats, Timestamp,
};
use dis_core::executor::{Executor, Leave};
use dis_core::intent::{
    Intent, IntentAnalyzer, IntentClass, IntentConstraints, IntentError, IoPriority, QosParameters, QueueType,
    SchedulingDecision, SystemLoad, TaskHistory,
};
use dis_core::modules::{
    EdfScheduler, FairScheduler, Module, PriorityScheduler, RoundRobinScheduler, SchedulerModule, SchedulerRegistry,
    Version,
};
use dis_core::policy::{
    EdfPolicy, FairPolicy, PriorityPolicy, RoundRobinPolicy, ScanAdapter, ScanPolicy, SchedulingPolicy,
};
use dis_core::queues::{DeadlineQueue, FifoQueue, PriorityQueue, SchedulerQueues, SleepQueue};
use dis_core::scheduler::{Config, LoadSample, TaskManager};
use dis_core::stats::{QueueStat, QueueStats, SchedulerStats, StatsCollector};

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

fn id(slot: u32) -> TaskId {
    TaskId::from_parts(slot, 1)
}

// 3. Core types.

#[test]
fn task_ids() {
    assert_eq!(TaskId::INVALID.0, 0);
    assert_eq!(TaskId::IDLE.0, 1);
    assert_eq!(TaskId::IDLE, TaskId::idle(0));
    // `TaskId::new`: only the manager makes ids, and each is new.
    let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
    let ids: Vec<TaskId> =
        (0..3).map(|n| x.spawn(at(0), None, TaskSpec::new("", Intent::batch(), n)).unwrap().0).collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && !ids.contains(&TaskId::IDLE) && !ids.contains(&TaskId::INVALID));
}

#[test]
fn task_states() {
    use TaskState::*;
    let all = [Ready, Running, Blocked, Sleeping, Terminated, Zombie];
    let legal = all.iter().flat_map(|&from| all.iter().filter(move |&&to| from.may_become(to))).count();
    assert!(Ready.may_become(Running) && !Terminated.may_become(Ready) && !Zombie.may_become(Ready));
    assert!(legal > 10 && legal < 20);
}

#[test]
fn the_task_control_block() {
    let x = Executor::<u32, Lock>::new(Config::new(2)).unwrap();
    let intent = Intent::realtime(10_000, 8_000, 2_000).with_affinity(CpuMask::single(1));
    let spec = TaskSpec { parent: id(77), ..TaskSpec::new("control", intent.clone(), 42) };
    let (task, _) = x.spawn(at(5), None, spec).unwrap();
    let t: Task<u32> = x.with_task(task, Task::clone).unwrap();
    assert_eq!((t.id, t.parent, t.name.as_str(), t.state()), (task, id(77), "control", TaskState::Ready));
    assert_eq!((&t.intent, t.context, t.priority, t.affinity), (&intent, 42, 10, CpuMask::single(1)));
    assert_eq!((t.deadline, t.created), (Some(at(8_000_005)), at(5)));
    let TaskStats {
        cpu_time: 0,
        user_time: 0,
        system_time: 0,
        context_switches: 0,
        voluntary_yields: 0,
        preemptions: 0,
        blocks: 0,
        wakes: 0,
        page_faults: 0,
        last_scheduled: Timestamp::ZERO,
        time_slice: 0,
        ..
    } = t.stats
    else {
        panic!("{:?}", t.stats)
    };
    // What only the host can measure, it reports.
    x.account(task, 3, 4, 5).unwrap();
    let stats = x.with_task(task, |t| t.stats).unwrap();
    assert_eq!((stats.user_time, stats.system_time, stats.page_faults), (3, 4, 5));
}

#[test]
fn every_counter_of_a_task_counts() {
    let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
    let (task, _) = x.spawn(at(0), None, TaskSpec::new("", Intent::batch(), 1)).unwrap();
    let ask = |now: u64, leave| {
        let decision = x.schedule(0, at(now), leave).unwrap();
        x.switched(0);
        decision
    };
    ask(10, Leave::Ask);
    ask(30, Leave::Yield);
    ask(40, Leave::Block(BlockReason::Io, None));
    let _ = x.wake(at(50), task).unwrap();
    let _ = x.spawn(at(50), None, TaskSpec::new("", Intent::system(), 2)).unwrap();
    ask(60, Leave::Ask);
    ask(60, Leave::Exit(0));
    let _ = x.spawn(at(70), None, TaskSpec::new("", Intent::system(), 3)).unwrap();
    ask(75, Leave::Ask);
    let stats = x.with_task(task, |t| t.stats).unwrap();
    assert_eq!(stats.cpu_time, 30 + 15);
    assert_eq!((stats.voluntary_yields, stats.blocks, stats.wakes, stats.preemptions), (1, 1, 1, 1));
    assert_eq!((stats.context_switches, stats.last_scheduled), (2, at(60)));
    assert!(stats.time_slice > 0 && stats.time_slice < 10_000_000);
}

#[test]
fn cpu_masks() {
    assert!((0..256).all(|cpu| CpuMask::ALL.contains(cpu)));
    let mut mask = CpuMask::single(64);
    mask.add(3);
    assert!(mask.contains(3) && mask.contains(64) && !mask.contains(4) && mask.count() == 2);
    mask.remove(64);
    assert_eq!(mask, CpuMask::single(3));
    assert_eq!(CpuMask::default().count(), 0);
}

#[test]
fn errors() {
    let all = [
        SchedError::TaskNotFound,
        SchedError::TaskExists,
        SchedError::InvalidState,
        SchedError::InvalidIntent(IntentError::ZeroPeriod),
        SchedError::DeadlineMissed,
        SchedError::NoCpu,
        SchedError::QueueFull,
        SchedError::ResourceExhausted,
        SchedError::PermissionDenied,
        SchedError::Unmeasured,
        SchedError::NotSupported("this"),
    ];
    let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert!((1..texts.len()).all(|i| !texts[..i].contains(&texts[i]) && !texts[i].is_empty()));
    let _: &dyn core::error::Error = &all[0];
    let result: SchedResult<()> = Err(IntentError::ZeroPeriod.into());
    assert_eq!(result, Err(all[3]));
}

// 4. Intents.

#[test]
fn intents() {
    let classes = [
        (Intent::system(), IntentClass::System, 0, Duration::from_millis(1)),
        (
            Intent::realtime(10_000, 8_000, 2_000),
            IntentClass::Realtime { period_us: 10_000, deadline_us: 8_000, wcet_us: 2_000 },
            10,
            Duration::from_millis(2),
        ),
        (
            Intent::interactive(2_000),
            IntentClass::Interactive { target_latency_us: 2_000 },
            50,
            Duration::from_millis(4),
        ),
        (Intent::batch(), IntentClass::Batch, 100, Duration::from_millis(10)),
        (Intent::background(), IntentClass::Background, 200, Duration::from_millis(50)),
    ];
    for (intent, class, priority, quantum) in classes {
        assert_eq!(intent.class, class);
        assert_eq!((class.to_priority(), class.time_quantum()), (priority, quantum));
        assert_eq!(intent.validate(), Ok(()));
        let IntentConstraints {
            max_memory: None,
            cpu_affinity: None,
            numa_node: None,
            io_priority: IoPriority::BestEffort,
            net_priority: 0,
        } = intent.constraints
        else {
            panic!("{intent:?}")
        };
        let QosParameters { cpu_min: 0, cpu_max: 0, mem_bandwidth: None, io_bandwidth: None } = intent.qos else {
            panic!("{intent:?}")
        };
    }
    let limited = Intent::batch().with_affinity(CpuMask::single(2)).with_memory_limit(1 << 20);
    assert_eq!(limited.constraints.cpu_affinity, Some(CpuMask::single(2)));
    assert_eq!(limited.constraints.max_memory, Some(1 << 20));
    assert_eq!([IoPriority::Realtime, IoPriority::BestEffort, IoPriority::Idle][1], IoPriority::default());
}

#[test]
fn the_analyzer() {
    let mut analyzer = IntentAnalyzer::new();
    let load =
        SystemLoad { cpu_load: vec![80, 20], active_cpus: 2, runqueue_length: 3, memory_pressure: 10, io_wait: 5 };
    analyzer.update_load(load.clone());
    assert_eq!(analyzer.system_load(), &load);
    let SchedulingDecision { queue, priority, time_slice, cpu_hint } =
        analyzer.analyze_intent(&Intent::interactive(2_000));
    assert_eq!((queue, priority, cpu_hint), (QueueType::Interactive, 50, Some(1)));
    assert_eq!(time_slice, Duration::from_millis(4));
    // `analyze`: of a task, at an instant.
    let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
    let spawn = |intent| x.spawn(at(0), None, TaskSpec::new("", intent, 0)).unwrap().0;
    let analyze = |task, now| x.with_task(task, |t| analyzer.analyze(t, at(now))).unwrap();
    let (ui, rt) = (spawn(Intent::interactive(2_000)), spawn(Intent::realtime(9_000_000, 9_000_000, 1)));
    assert_eq!(analyze(ui, 2_000_000).priority, 50);
    assert_eq!(analyze(ui, 9_000_000).priority, 43, "waiting beyond the target raises it");
    assert_eq!((analyze(rt, 0).priority, analyze(rt, 4_000_000_000).priority), (9, 5));
    assert_eq!(analyze(rt, 0).queue, QueueType::Realtime);
    // `find_best_cpu`, `compute_deadline`, `record_completion`.
    assert_eq!(analyzer.best_cpu(CpuMask::single(0)), Some(0));
    assert_eq!(analyzer.deadline(&Intent::interactive(2).class, at(5)), Some(at(2_005)));
    let mut history = TaskHistory::default();
    analyzer.record_completion(&mut history, Duration::from_nanos(100), false);
    analyzer.record_completion(&mut history, Duration::from_nanos(300), true);
    assert_eq!((history.mean(), history.samples()), (Duration::from_nanos(200), 2));
    assert_eq!((history.variance(), history.miss_rate_ppm()), (20_000, 500_000));
    // And with the load of a machine.
    let mut sample = LoadSample::default();
    assert_eq!(x.system_load(&mut sample, at(10)).runqueue_length, 2);
    assert_eq!(x.analyzer(&mut sample, at(20)).system_load().active_cpus, 1);
}

// 5. Task management.

#[test]
fn the_task_api() {
    let x = Executor::<u32, Lock>::new(Config::new(1)).unwrap();
    let on = |now| x.on(0, at(now));
    let mut view = on(0);
    let first = view.spawn(1, Intent::system()).unwrap();
    let second = view.spawn_named("second", 2, Intent::system()).unwrap();
    assert!(view.interrupts().contains(0));
    assert_eq!(view.current(), TaskId::IDLE);
    assert!(view.yield_now().is_err() && view.exit(0).is_err());
    x.schedule(0, at(0), Leave::Ask).unwrap();
    x.switched(0);
    assert_eq!(on(1).current(), first);
    assert_eq!(on(1).get_task(second).unwrap().name, "second");
    let next = |outcome: SchedResult<dis_core::executor::Decision<u32>>| {
        x.switched(0);
        outcome.unwrap().next.map(|next| next.context)
    };
    assert_eq!(next(on(1).yield_now()), Some(2));
    let child = on(2).spawn(3, Intent::system()).unwrap();
    assert_eq!(x.with_task(child, |t| t.parent), Ok(second));
    on(2).kill(child).unwrap();
    assert_eq!(on(2).join(child).unwrap(), Ok(ExitStatus::Killed));
    assert_eq!(next(on(3).sleep(Duration::from_micros(1))), Some(1));
    assert_eq!(x.with_task(second, Task::state), Ok(TaskState::Sleeping));
    on(4).wake(second).unwrap();
    assert_eq!(on(4).wake(second), Err(SchedError::InvalidState));
    for reason in [
        BlockReason::Io,
        BlockReason::Mutex,
        BlockReason::Semaphore,
        BlockReason::Event,
        BlockReason::ChildExit,
        BlockReason::Ipc,
    ] {
        assert_eq!(next(on(5).block(reason)), Some(2));
        assert_eq!(x.with_task(first, Task::block_reason), Ok(Some(reason)));
        on(5).wake(first).unwrap();
        assert_eq!(next(on(5).yield_now()), Some(1));
    }
    on(6).set_priority(second, 7).unwrap();
    on(6).set_affinity(second, CpuMask::ALL).unwrap();
    assert_eq!(x.with_task(second, |t| (t.priority, t.affinity)), Ok((7, CpuMask::ALL)));
    assert_eq!(next(on(7).exit(9)), Some(2));
    assert_eq!(x.with_task(first, Task::exit_status), Ok(Some(ExitStatus::Exited(9))));
    assert_eq!(on(8).join(first).unwrap(), Ok(ExitStatus::Exited(9)));
    assert!(on(8).get_task(first).is_err());
}

#[test]
fn durations() {
    let d = Duration::from_millis(1_500);
    assert_eq!((d.as_secs(), d.subsec_nanos(), d.as_nanos()), (1, 500_000_000, 1_500_000_000));
    assert_eq!(Duration::from_micros(1_500), Duration::from_nanos(1_500_000));
}

#[test]
fn the_task_manager() {
    // `new` and `init(cpu_count)` in one; each CPU has an idle task's id.
    let manager = TaskManager::<u32, Lock>::new(Config::new(3)).unwrap();
    assert_eq!(manager.cpu_count(), 3);
    let x = Executor::<u32, Lock>::new(Config::new(3)).unwrap();
    assert_eq!([0, 1, 2].map(|cpu| x.current(cpu)), [0, 1, 2].map(TaskId::idle));
    assert!(TaskManager::<u32, Lock>::new(Config::new(0)).is_err());
}

// 6. Policies.

#[test]
fn the_four_policies() {
    let policies: [Box<dyn SchedulingPolicy>; 4] = [
        Box::new(RoundRobinPolicy::new(Duration::from_millis(10))),
        Box::new(PriorityPolicy::new(256)),
        Box::new(EdfPolicy::new()),
        Box::new(FairPolicy::new()),
    ];
    let names: Vec<&str> = policies.iter().map(|policy| policy.name()).collect();
    assert_eq!(names, ["round-robin", "priority", "edf", "fair"]);
    for policy in policies {
        // `select`, `on_ready`, `on_block`, `on_tick`, `time_slice`: exercised through the executor, class by class.
        assert!(policy.is_empty());
        assert_eq!(policy.len(), 0);
    }
    // The reference's `select(&[&Task], current)`.
    struct First;
    impl ScanPolicy for First {
        fn name(&self) -> &'static str {
            "first"
        }
        fn select(
            &mut self,
            ready: &[dis_core::policy::Entity],
            _current: Option<&dis_core::policy::Entity>,
        ) -> Option<TaskId> {
            ready.first().map(|task| task.id)
        }
        fn time_slice(&self, task: &dis_core::policy::Entity) -> Duration {
            task.slice
        }
    }
    assert_eq!(ScanAdapter::new(First).name(), "first");
}

// 7. Queues.

#[test]
fn queues() {
    let mut priority = PriorityQueue::new();
    priority.push_back(id(1), 200);
    priority.push_back(id(2), 0);
    assert_eq!((priority.len(), priority.is_empty(), priority.peek()), (2, false, Some(id(2))));
    assert_eq!((priority.pop(), priority.pop(), priority.pop()), (Some(id(2)), Some(id(1)), None));

    let mut deadline = DeadlineQueue::new();
    deadline.insert(id(1), at(9));
    deadline.insert(id(2), at(3));
    assert_eq!((deadline.peek(), deadline.pop(), deadline.pop()), (Some(id(2)), Some(id(2)), Some(id(1))));

    let mut fifo = FifoQueue::new();
    fifo.push_back(id(4));
    fifo.push_back(id(3));
    assert_eq!((fifo.is_empty(), fifo.pop(), fifo.pop()), (false, Some(id(4)), Some(id(3))));

    let mut sleep = SleepQueue::new();
    sleep.insert(id(1), at(7));
    assert_eq!((sleep.pop_expired(at(6)), sleep.pop_expired(at(7))), (None, Some(id(1))));
}

#[test]
fn scheduler_queues() {
    let mut queues = SchedulerQueues::new();
    for (slot, queue) in QueueType::ALL.into_iter().enumerate() {
        queues.enqueue(id(slot as u32), queue, 100, Some(at(50)), at(0)).unwrap();
    }
    assert_eq!(queues.total_queued(), 5, "Realtime included");
    queues.add_sleeper(id(9), at(20)).unwrap();
    assert_eq!(queues.wake_sleepers(at(30)).collect::<Vec<_>>(), [id(9)]);
    queues.update_priority(id(2), 1).unwrap();
    queues.remove(id(0), at(30)).unwrap();
    assert_eq!(queues.next(at(30)), Some(id(1)));
}

// 8. The executor.

#[test]
fn the_executor() {
    let x = Executor::<u32, Lock>::new(Config::new(2)).unwrap();
    let spawn = |n| x.spawn(at(0), None, TaskSpec::new("", Intent::batch().with_affinity(CpuMask::single(0)), n));
    let ids: Vec<TaskId> = (0..3).map(|n| spawn(n).unwrap().0).collect();
    let decision = x.schedule(0, at(0), Leave::Ask).unwrap();
    assert!(decision.next.unwrap().switch && decision.until.is_some());
    assert!(!x.switched(0));
    // `tick` measures, whatever its period.
    assert!(!x.tick(0, at(1_000_000)).unwrap().next.unwrap().switch);
    assert!(x.tick(0, at(20_000_000)).unwrap().next.unwrap().switch);
    x.switched(0);
    for &task in &ids {
        let _ = x.set_affinity(at(20_000_000), task, CpuMask::ALL).unwrap();
    }
    assert_eq!(x.load_balance(at(20_000_000)), Some(1));
    assert_eq!(x.current(1), TaskId::idle(1), "until it asks");
    assert!(x.schedule(1, at(20_000_000), Leave::Ask).unwrap().next.is_some());
}

// 9. Statistics.

#[test]
fn statistics() {
    let mut collector = StatsCollector::new();
    collector.record_task_created();
    collector.record_switch(true);
    collector.record_switch(false);
    collector.record_deadline_miss();
    collector.record_task_exit();
    collector.sample();
    let SchedulerStats {
        tasks_created: 1,
        tasks_exited: 1,
        tasks_killed: 0,
        context_switches: 2,
        voluntary_switches: 1,
        involuntary_switches: 1,
        deadline_misses: 1,
        total_cpu_time: 0,
        policy_faults: 0,
        ref queue_stats,
    } = *collector.current()
    else {
        panic!("{:?}", collector.current())
    };
    let QueueStats { system, realtime, interactive, batch, background } = queue_stats;
    for stat in [system, realtime, interactive, batch, background] {
        assert_eq!(*stat, QueueStat::default());
        assert_eq!((stat.length, stat.max_length, stat.enqueued, stat.dequeued, stat.avg_wait_time), (0, 0, 0, 0, 0));
    }
    assert_eq!(&collector.average(), collector.current());
    let mut text = String::new();
    collector.print(&mut text).unwrap();
    assert!(text.contains("context switches: 2 (1 voluntary, 1 involuntary)"));
}

// 10. Modules.

#[test]
fn modules() {
    let module = RoundRobinScheduler { quantum: Duration::from_millis(5) };
    assert_eq!((module.name(), module.version()), ("round-robin", Version::new(1, 0, 0)));
    assert_eq!(module.supported_intents(), [QueueType::Batch, QueueType::Background]);
    assert!(module.keeps_promise(QueueType::Batch) && !module.keeps_promise(QueueType::Realtime));
    assert!(module.can_schedule(QueueType::Realtime), "it can be chosen all the same");
    assert_eq!(module.policy().name(), "round-robin");
    let mut registry = SchedulerRegistry::new();
    registry.register(Box::new(module)).unwrap();
    assert_eq!(registry.register(Box::new(module)), Err(SchedError::TaskExists));
    assert!(registry.get_for_intent(&IntentClass::Batch).is_some());
    assert!(registry.get_for_intent(&IntentClass::System).is_none());
    registry.register(Box::new(PriorityScheduler)).unwrap();
    registry.register(Box::new(EdfScheduler)).unwrap();
    registry.register(Box::new(FairScheduler)).unwrap();
    registry.set_active(QueueType::Batch, "fair").unwrap();
    assert_eq!(registry.set_active(QueueType::Batch, "lottery"), Err(SchedError::TaskNotFound));
    assert_eq!(registry.get_for_intent(&IntentClass::Batch).unwrap().name(), "fair");
    assert_eq!(registry.list(), ["edf", "fair", "priority", "round-robin"]);
    let tasks: TaskManager<u32, Lock> = TaskManager::with_modules(Config::new(2), &registry).unwrap();
    assert_eq!(tasks.cpu_count(), 2);
}
