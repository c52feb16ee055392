//! What switching costs, counted in instructions: `test=figures`.
//!
//! Meant for QEMU's deterministic mode, in which an instruction takes 2 ns of the machine's clock, whatever it is, and
//! nobody else's are counted; on a machine whose clock is time the figures are times.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, TaskId, TaskSpec};
use dis_core::intent::Intent;
use dis_workload::interp::spin;

use crate::boot::Booted;
use crate::channel::channel;
use crate::ipc::Server;
use crate::{clock, event, memory, println, task};

/// Numbers of tasks that are ready beside the one that runs.
const READY: [usize; 3] = [1, 100, 10_000];
/// Nanoseconds of the machine's clock for each instruction.
const NS: u64 = 2;
const SAMPLES: usize = 200;

/// A figure, in instructions: what it is to be at most, and what is accepted, which is what was reached and some.
struct Figure {
    name: &'static str,
    goal: u64,
    accepted: u64,
}

const YIELD_SYSTEM: Figure = Figure { name: "yield, system", goal: 400, accepted: 800 };
const YIELD_BATCH: Figure = Figure { name: "yield, batch", goal: 400, accepted: 1_100 };
const PREEMPT: Figure = Figure { name: "preempt", goal: 1_200, accepted: 1_200 };
const CALL: Figure = Figure { name: "call and reply", goal: 900, accepted: 900 };
/// For these no goals were set: both numbers are what was reached and some.
const USER_CALL: Figure = Figure { name: "call, ring 3", goal: 3_500, accepted: 3_500 };
const CHANNEL: Figure = Figure { name: "send and receive", goal: 400, accepted: 400 };
const PASS: Figure = Figure { name: "message handed on", goal: 2_500, accepted: 2_500 };
const WAKE: Figure = Figure { name: "wake across CPUs", goal: 2_500, accepted: 3_000 };

/// What tasks of a measurement share.
static TURNS: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);
static LAST: AtomicU64 = AtomicU64::new(0);
static OWNER: AtomicU64 = AtomicU64::new(0);
static SAMPLE: [AtomicU64; SAMPLES] = [const { AtomicU64::new(0) }; SAMPLES];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Measures and prints; the error names a figure that is too high. On one CPU what happens on one, on more what happens
/// between two (an idle one would look for work at the others' expense: instructions of all CPUs are counted).
///
/// # Errors
/// A figure is too high, or something could not be done.
pub fn run(booted: &Booted) -> Result<(), String> {
    // Whoever measures goes first, and sleeps while it does.
    task::set_intent(task::current(), &Intent::system()).map_err(|error| format!("{error}"))?;
    task::set_affinity(task::current(), CpuMask::single(0)).map_err(|error| format!("{error}"))?;
    // The other CPUs begin meanwhile.
    task::sleep(Duration::from_millis(5));
    let mut worst = None;
    println!("instructions, by tasks that are ready beside the one that runs:");
    for ready in READY {
        let figures = if booted.cpus > 1 {
            Vec::from([(WAKE, wakes(ready)?)])
        } else {
            let system = (YIELD_SYSTEM, yields(ready, Intent::system)?);
            let batch = (YIELD_BATCH, yields(ready, Intent::batch)?);
            let calls = [(CALL, calls(ready)?), (USER_CALL, user_calls(ready)?)];
            let messages = [(CHANNEL, channel_alone(ready)?), (PASS, messages(ready)?)];
            [system, batch, (PREEMPT, preempts(ready)?)].into_iter().chain(calls).chain(messages).collect()
        };
        for (Figure { name, goal, accepted }, figure) in figures {
            let verdict = if figure <= goal { "reached" } else { "missed" };
            println!("  {name:16} {ready:6} ready: {figure:5} (goal {goal}: {verdict})");
            event!("figure", "\"name\":\"{name}\",\"ready\":{ready},\"instructions\":{figure},\"goal\":{goal}");
            if figure > accepted {
                worst =
                    Some(format!("{name} with {ready} ready tasks takes {figure} instructions, more than {accepted}"));
            }
        }
    }
    worst.map_or(Ok(()), Err)
}

fn record(count: u64) {
    let place = COUNT.fetch_add(1, Ordering::Relaxed);
    if let Some(sample) = SAMPLE.get(place) {
        sample.store(count, Ordering::Relaxed);
    }
}

/// The median of what was recorded, in instructions.
fn median() -> Result<u64, String> {
    let count = COUNT.swap(0, Ordering::Relaxed).min(SAMPLES);
    let mut samples: Vec<u64> = SAMPLE[..count].iter().map(|sample| sample.load(Ordering::Relaxed)).collect();
    samples.sort_unstable();
    let median = samples.get(count / 2).filter(|_| count >= 10).ok_or_else(|| format!("{count} samples only"))?;
    Ok(clock::span(*median).as_nanos() / NS)
}

/// Tasks on one CPU that do `body` with their number, from 1, until it is over.
fn spawn(count: usize, intent: fn() -> Intent, cpu: usize, body: fn(u64)) -> Result<Vec<TaskId>, String> {
    OVER.store(false, Ordering::SeqCst);
    (1..=count as u64)
        .map(|number| {
            let work = Box::new(move || {
                body(number);
                0
            });
            let intent = intent().with_affinity(CpuMask::single(cpu));
            let spawned = task::spawn_with(TaskSpec::new("ready", intent, ()).joinable(), work);
            let spawned = spawned.and_then(|id| {
                // Behind whoever measures, where that counts.
                task::set_priority(id, 200)?;
                Ok(id)
            });
            spawned.map_err(|error| {
                format!("task {number} of {count}: {error}; the heap has {} bytes left", memory::heap::free())
            })
        })
        .collect()
}

/// Tasks that compute, behind whoever measures.
fn computing(count: usize) -> Result<Vec<TaskId>, String> {
    spawn(count, Intent::batch, 0, |_| {
        while !is_over() {
            spin(100);
        }
    })
}

fn end(tasks: Vec<TaskId>) {
    OVER.store(true, Ordering::SeqCst);
    for id in tasks {
        // Each is joinable, and joined once.
        let _ = task::join(id);
    }
}

fn is_over() -> bool {
    OVER.load(Ordering::Relaxed)
}

/// One yield: the call, the decision, the switch, and the return of the next task.
fn yields(ready: usize, intent: fn() -> Intent) -> Result<u64, String> {
    let tasks = spawn(ready + 1, intent, 0, |_| {
        while !is_over() {
            TURNS.store(TURNS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            task::yield_now();
        }
    })?;
    // Until each has begun.
    task::sleep(Duration::from_micros(2_000 + 5 * ready as u64));
    let (begin, turns) = (clock::now(), TURNS.load(Ordering::Relaxed));
    task::sleep(Duration::from_millis(20));
    let (took, turns) = (clock::now().since(begin), TURNS.load(Ordering::Relaxed) - turns);
    end(tasks);
    Ok(took.as_nanos() / NS / turns.max(1))
}

/// One preemption between tasks that never give way: from the last instruction of the one to the first of the other. All
/// registers are saved and loaded.
fn preempts(ready: usize) -> Result<u64, String> {
    OWNER.store(0, Ordering::Relaxed);
    let tasks = spawn(ready + 1, Intent::batch, 0, |me| {
        while !is_over() {
            if OWNER.load(Ordering::Relaxed) != me {
                let now = clock::tsc();
                if OWNER.swap(me, Ordering::Relaxed) != 0 {
                    record(now.saturating_sub(LAST.load(Ordering::Relaxed)));
                }
            }
            // Not a plain store: who is preempted between reading the clock and that would put the past there when it goes on.
            LAST.fetch_max(clock::tsc(), Ordering::Relaxed);
        }
        // Its end is no preemption.
        OWNER.store(0, Ordering::Relaxed);
    })?;
    // Slices are 10 ms long at most.
    task::sleep(Duration::from_millis(400));
    let median = median();
    end(tasks);
    COUNT.store(0, Ordering::Relaxed);
    median
}

/// One call and its reply: the question and the answer put where the other one finds them, and both switches.
fn calls(ready: usize) -> Result<u64, String> {
    let others = computing(ready)?;
    let intent = Intent::batch().with_affinity(CpuMask::single(0));
    let server = Server::spawn("adds one", intent, |number: u64| number + 1).map_err(|error| format!("{error}"))?;
    // Until it waits to be called.
    let first = server.call(0, None);
    for number in 0..SAMPLES as u64 {
        let begin = clock::tsc();
        let answer = server.call(number, None);
        record(clock::tsc() - begin);
        if answer != Ok(number + 1) {
            return Err(format!("a call was answered by {answer:?}, the first one by {first:?}"));
        }
    }
    task::kill(server.id()).map_err(|error| format!("{error}"))?;
    end(others);
    median()
}

/// The same by system calls, between two tasks in ring 3: what a thousand calls more take.
fn user_calls(ready: usize) -> Result<u64, String> {
    let others = computing(ready)?;
    let [few, many] = [100, 1_100].map(crate::selftest::time_of_calls);
    end(others);
    Ok((many? - few?) / 1_000 / NS)
}

/// A message sent and received by the same task: nobody waits, nobody is woken.
fn channel_alone(ready: usize) -> Result<u64, String> {
    let others = computing(ready)?;
    let (to, from) = channel(4).map_err(|error| format!("{error}"))?;
    for number in 0..SAMPLES as u64 {
        let begin = clock::tsc();
        let sent = to.send(number, None);
        let got = from.receive(None);
        record(clock::tsc() - begin);
        if (sent, got) != (Ok(()), Ok(number)) {
            return Err(format!("{number} came as {got:?}"));
        }
    }
    end(others);
    median()
}

/// A message sent to a task that waits for it and sends it on, received by the first task, which waits meanwhile: half of the whole, that
/// is, one message, one wake-up, one switch.
fn messages(ready: usize) -> Result<u64, String> {
    let others = computing(ready)?;
    let refused = |error| format!("{error}");
    let (to, there) = channel(1).map_err(refused)?;
    let (back, from) = channel(1).map_err(refused)?;
    let hands_on = Box::new(move || {
        while let Ok(number) = there.receive(None) {
            let _ = back.send(number, None);
        }
        0
    });
    let intent = Intent::system().with_affinity(CpuMask::single(0));
    let id = task::spawn_with(TaskSpec::new("hands on", intent, ()).joinable(), hands_on).map_err(refused)?;
    for number in 0..SAMPLES as u64 {
        let begin = clock::tsc();
        let sent = to.send(number, None);
        let got = from.receive(None);
        record((clock::tsc() - begin) / 2);
        if (sent, got) != (Ok(()), Ok(number)) {
            return Err(format!("{number} came back as {got:?}"));
        }
    }
    drop(to);
    let _ = task::join(id);
    end(others);
    median()
}

/// One wake-up across CPUs: from the call on this CPU to the first instruction of the task that is woken on the other one,
/// which computes.
fn wakes(ready: usize) -> Result<u64, String> {
    // `pause`: with one thread for all CPUs of the emulator, that is when the other one has its turn.
    let others = spawn(ready + 1, Intent::batch, 1, |_| {
        while !is_over() {
            spin(100);
            core::hint::spin_loop();
        }
    })?;
    let intent = Intent::system().with_affinity(CpuMask::single(1));
    let work = Box::new(|| {
        while !is_over() {
            task::block(BlockReason::Event, None);
            LAST.store(clock::tsc(), Ordering::SeqCst);
        }
        0
    });
    let spec = TaskSpec::new("woken", intent, ()).joinable();
    let woken = task::spawn_with(spec, work).map_err(|error| format!("{error}"))?;
    for _ in 0..SAMPLES {
        // Without a sleep: while this CPU is idle it looks for work.
        let next = clock::now() + Duration::from_micros(100);
        while clock::now() < next {
            spin(100);
            core::hint::spin_loop();
        }
        LAST.store(0, Ordering::SeqCst);
        let begin = clock::tsc();
        task::unpark(woken).map_err(|error| format!("{error}"))?;
        while LAST.load(Ordering::SeqCst) == 0 {
            core::hint::spin_loop();
        }
        record(LAST.load(Ordering::SeqCst).saturating_sub(begin));
    }
    OVER.store(true, Ordering::SeqCst);
    task::unpark(woken).map_err(|error| format!("{error}"))?;
    end(others);
    let _ = task::join(woken);
    median()
}
