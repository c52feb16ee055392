//! Messages of tasks in ring 3: calls, channels, notifications, and what they may not do.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dis_core::api::{BlockReason, CpuMask, Duration, ExitStatus, SchedError, TaskId, TaskSpec};
use dis_core::intent::Intent;
use dis_core::isolation::{DomainSpec, Rights};

use super::channels::waits;
use super::ipc::{ends, reason, spawn};
use super::user::KERNELS;
use super::{Outcome, ensure, eventually, refused};
use crate::channel::{CLOSED, channel};
use crate::ipc::Server;
use crate::memory::heap;
use crate::notification::Notification;
use crate::sched::scheduler;
use crate::user::ipc::{Handle, Message};
use crate::user::{self, Program};
use crate::{clock, println, task};

core::arch::global_asm!(include_str!("ipc_user.s"));

type Numbers = Server<Message, Message>;

macro_rules! entries {
    ($($name:ident)*) => {
        mod symbols {
            unsafe extern "C" {
                pub static ipc_start: u8;
                pub static ipc_end: u8;
                $(pub static $name: u8;)*
            }
        }

        /// Where in the program a task begins.
        #[derive(Clone, Copy)]
        #[allow(non_camel_case_types, reason = "named as the symbols")]
        enum Entry { $($name),* }

        impl Entry {
            fn offset(self) -> u64 {
                let at = match self { $(Entry::$name => &raw const symbols::$name),* };
                at as u64 - &raw const symbols::ipc_start as u64
            }
        }
    };
}

entries! { ipc_server ipc_caller ipc_once ipc_sender ipc_receiver ipc_waiter ipc_notifier ipc_bad ipc_domain }
use Entry::*;

fn program() -> Program {
    let (first, last) = (&raw const symbols::ipc_start, &raw const symbols::ipc_end);
    // SAFETY: the two symbols enclose the program, which is a constant.
    unsafe { core::slice::from_raw_parts(first, last as usize - first as usize) }
}

fn start(intent: Intent, entry: Entry, argument: u64, handles: Vec<Handle>) -> Result<TaskId, String> {
    let spec = TaskSpec::new("user".to_string(), intent, ()).joinable();
    user::spawn_with(spec, program(), entry.offset(), argument, handles).map_err(refused)
}

fn number(value: u64) -> Message {
    Message::new(&value.to_le_bytes()).expect("8 bytes are not too many")
}

fn value(message: &Message) -> u64 {
    message.bytes().try_into().map_or(u64::MAX, u64::from_le_bytes)
}

/// A server in ring 3 that works for so many turns of a loop.
fn server(turns: u64) -> Result<(Arc<Numbers>, TaskId), String> {
    let server = Numbers::new();
    let id = start(Intent::background(), ipc_server, turns, vec![Handle::Server(Arc::clone(&server))])?;
    waits(id, BlockReason::Receive)?;
    Ok((server, id))
}

fn end(id: TaskId) -> Outcome {
    task::kill(id).map_err(refused)?;
    ends(id, ExitStatus::Killed)
}

/// All of them.
pub fn user_messages(cpus: usize) -> Outcome {
    many_callers(cpus)?;
    before_there_is_a_server()?;
    kernel_serves_user()?;
    caller_pays()?;
    callers_class()?;
    channels_and_notifications()?;
    bad_arguments()?;
    rights()?;
    killed_in_mid_call()?;
    killed_while_it_waits()
}

/// Tasks in ring 3 and in the kernel call one server in ring 3; each gets its own answers.
fn many_callers(cpus: usize) -> Outcome {
    let (server, id) = server(1)?;
    let mut callers = Vec::new();
    for _ in 0..2 * cpus {
        callers.push((start(Intent::batch(), ipc_caller, 100, vec![Handle::Client(Arc::clone(&server))])?, 0));
        let calls = Arc::clone(&server);
        let body = move || (1..=100).all(|n| calls.call(number(n), None).is_ok_and(|a| value(&a) == 2 * n)) as i32;
        callers.push((spawn("calls", Intent::batch(), body)?, 1));
    }
    for &(id, code) in &callers {
        ends(id, ExitStatus::Exited(code))?;
    }
    println!("{} calls by {} tasks, half of them in ring 3, to a server in ring 3", 100 * callers.len(), callers.len());
    end(id)
}

/// Whoever calls a server that has no task yet waits for it.
fn before_there_is_a_server() -> Outcome {
    let server = Numbers::new();
    let got = server.call(number(1), Some(clock::now() + Duration::from_millis(2)));
    ensure(got.err() == Some(SchedError::DeadlineMissed), || "a server without a task has answered".into())?;
    let caller = start(Intent::batch(), ipc_once, 20, vec![Handle::Client(Arc::clone(&server))])?;
    waits(caller, BlockReason::Mutex)?;
    let id = start(Intent::background(), ipc_server, 1, vec![Handle::Server(Arc::clone(&server))])?;
    ends(caller, ExitStatus::Exited(40))?;
    end(id)
}

/// A server in the kernel works for a caller in ring 3: on its time, which is what the core says.
fn kernel_serves_user() -> Outcome {
    static CARRIER: AtomicU64 = AtomicU64::new(0);
    let server = Server::spawn("in the kernel", Intent::background(), |question: Message| {
        CARRIER.store(scheduler().carrier_of(task::current()).map_or(0, |id| id.0), Ordering::SeqCst);
        number(value(&question) + 1)
    });
    let server = server.map_err(refused)?;
    let caller = start(Intent::batch(), ipc_once, 6, vec![Handle::Client(Arc::clone(&server))])?;
    ends(caller, ExitStatus::Exited(7))?;
    let carrier = TaskId(CARRIER.load(Ordering::SeqCst));
    ensure(carrier == caller, || format!("the server was on the time of {carrier:?} instead of {caller:?}"))?;
    task::kill(server.id()).map_err(refused)
}

/// What a task in ring 3 pays for so many calls of a server in ring 3, CPU time in ns. It is a System task of CPU 0.
pub(crate) fn time_of_calls(calls: u64) -> Result<u64, String> {
    let (server, id) = server(1)?;
    let intent = Intent::system().with_affinity(CpuMask::single(0));
    let caller = start(intent, ipc_caller, calls, vec![Handle::Client(server)])?;
    let ended = || scheduler().with_task(caller, |task| task.state().has_ended()).unwrap_or(true);
    eventually("the caller ends", ended)?;
    let paid = used(caller);
    ends(caller, ExitStatus::Exited(0))?;
    end(id)?;
    Ok(paid)
}

fn used(id: TaskId) -> u64 {
    task::stats(id).map_or(0, |stats| stats.cpu_time)
}

/// What a server in ring 3 does for a caller in ring 3 is charged to that one, all of it.
fn caller_pays() -> Outcome {
    let (server, id) = server(30_000_000)?;
    let before = used(id);
    let alone = start(Intent::batch(), ipc_once, 1, vec![])?;
    ends(alone, ExitStatus::Exited(-8))?;
    let caller = start(Intent::batch(), ipc_once, 21, vec![Handle::Client(server)])?;
    let ended = || scheduler().with_task(caller, |task| task.state().has_ended()).unwrap_or(true);
    eventually("the caller ends", ended)?;
    let (paid, own) = (used(caller), used(id) - before);
    ends(caller, ExitStatus::Exited(42))?;
    println!("a server in ring 3 was called: the caller paid {paid} ns, the server {own} ns");
    // 60 million instructions; a call of nothing takes some microseconds. How fast the clock goes is the emulator's affair.
    ensure(paid >= 100_000 && own == 0, || format!("the caller paid {paid} ns, the server {own} ns"))?;
    end(id)
}

/// A server of the least urgent class works with the caller's, System, beside a task of a class between them. (System has half of a CPU for
/// which others wait, less their turns; Background would have a fraction of what Batch has.)
fn callers_class() -> Outcome {
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Ordering::SeqCst);
    let here = CpuMask::single(0);
    let (server, id) = server(30_000_000)?;
    let hog = spawn("hog", Intent::batch().with_affinity(here), || {
        while !OVER.load(Ordering::Relaxed) {
            core::hint::spin_loop();
        }
        0
    })?;
    eventually("the hog computes", || used(hog) > 0)?;
    let caller = spawn("calls", Intent::system().with_affinity(here), move || {
        let (had, paid) = (used(hog), used(task::current()));
        let answered = server.call(number(4), None).is_ok_and(|answer| value(&answer) == 8);
        let (had, paid) = (used(hog) - had, used(task::current()) - paid);
        println!("a call of {paid} ns by a System task, during which a Batch task on the same CPU had {had} ns");
        i32::from(answered && paid >= 100_000 && had < 2 * paid)
    })?;
    ends(caller, ExitStatus::Exited(1))?;
    OVER.store(true, Ordering::SeqCst);
    ends(hog, ExitStatus::Exited(0))?;
    end(id)
}

fn channels_and_notifications() -> Outcome {
    // From ring 3 to ring 3, with less room than messages; the sender's end closes it.
    let (to, from) = channel(2).map_err(refused)?;
    let receiver = start(Intent::batch(), ipc_receiver, 0, vec![Handle::Receiver(from)])?;
    waits(receiver, BlockReason::Ipc)?;
    let sender = start(Intent::batch(), ipc_sender, 300, vec![Handle::Sender(to)])?;
    ends(sender, ExitStatus::Exited(0))?;
    ends(receiver, ExitStatus::Exited(300))?;
    // And that of the last receiver.
    let (to, from) = channel(1).map_err(refused)?;
    let sender = start(Intent::batch(), ipc_sender, 300, vec![Handle::Sender(to)])?;
    ensure(from.receive(None).is_ok_and(|message| value(&message) == 1), || "the first message is wrong".into())?;
    waits(sender, BlockReason::Ipc)?;
    drop(from);
    ends(sender, ExitStatus::Exited(-7))?;
    // Before and while somebody waits.
    for early in [true, false] {
        let bell = Notification::new();
        let notify = || start(Intent::batch(), ipc_notifier, 6, vec![Handle::Notifier(Arc::clone(&bell))]);
        if early {
            ends(notify()?, ExitStatus::Exited(0))?;
        }
        let waiter = start(Intent::batch(), ipc_waiter, 0, vec![Handle::Waiter(Arc::clone(&bell))])?;
        if !early {
            waits(waiter, BlockReason::Event)?;
            ends(notify()?, ExitStatus::Exited(0))?;
        }
        ends(waiter, ExitStatus::Exited(6))?;
    }
    Ok(())
}

/// Bad addresses, lengths and handles are refused, and nobody else notices.
fn bad_arguments() -> Outcome {
    let asked = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&asked);
    let server = Server::spawn("counts", Intent::background(), move |question: Message| {
        counts.fetch_add(1, Ordering::SeqCst);
        question
    });
    let server = server.map_err(refused)?;
    let (to, from) = channel::<Message>(4).map_err(refused)?;
    let (_keeps, empty) = channel::<Message>(1).map_err(refused)?;
    let bell = Notification::new();
    let handles = vec![
        Handle::Client(Arc::clone(&server)),
        Handle::Server(Numbers::new()),
        Handle::Sender(to),
        Handle::Receiver(empty),
        Handle::Notifier(Arc::clone(&bell)),
        Handle::Waiter(Arc::clone(&bell)),
    ];
    ends(start(Intent::batch(), ipc_bad, &raw const KERNELS as u64, handles)?, ExitStatus::Exited(0))?;
    let word = KERNELS.load(Ordering::SeqCst);
    ensure(word == 42, || format!("a word of the kernel's was overwritten by {word}"))?;
    let calls = asked.load(Ordering::SeqCst);
    ensure(calls == 0, || format!("{calls} calls with bad arguments reached the server"))?;
    let got = from.receive(None).err();
    ensure(got == Some(CLOSED), || format!("a message with bad arguments was sent, or the channel is open: {got:?}"))?;
    task::kill(server.id()).map_err(refused)
}

/// A task of a domain without rights may do nothing to others, but use its handles.
fn rights() -> Outcome {
    let domain =
        scheduler().create_domain(None, DomainSpec::new("guest").with_rights(Rights::NONE)).map_err(refused)?;
    let (to, from) = channel(1).map_err(refused)?;
    let victim = spawn("is left alone", Intent::batch(), || {
        task::block(BlockReason::Event, None);
        3
    })?;
    waits(victim, BlockReason::Event)?;
    let spec = TaskSpec::new("guest".to_string(), Intent::batch(), ()).joinable().in_domain(&domain);
    let denied = scheduler().denied();
    let guest = user::spawn_with(spec, program(), ipc_domain.offset(), victim.0, vec![Handle::Sender(to)]);
    ends(guest.map_err(refused)?, ExitStatus::Exited(0))?;
    ensure(scheduler().denied() == denied + 6, || "not each refusal was counted".into())?;
    ensure(from.receive(None).is_ok(), || "the message did not come".into())?;
    ensure(reason(victim) == Some(BlockReason::Event), || "the other task was not left alone".into())?;
    task::unpark(victim).map_err(refused)?;
    ends(victim, ExitStatus::Exited(3))
}

/// A caller and a server in ring 3 are killed in mid-call: the other one goes on.
fn killed_in_mid_call() -> Outcome {
    let (first, id) = server(30_000_000)?;
    let is_away = || scheduler().carrier_of(id).is_ok_and(|carrier| carrier != id);
    let caller = start(Intent::batch(), ipc_once, 1, vec![Handle::Client(Arc::clone(&first))])?;
    eventually("it is in its call", is_away)?;
    end(caller)?;
    let got = first.call(number(5), None).map(|answer| value(&answer));
    ensure(got == Ok(10), || format!("the call after a caller was killed: {got:?}"))?;
    end(id)?;

    let (second, id) = server(u64::MAX)?;
    let is_away = || scheduler().carrier_of(id).is_ok_and(|carrier| carrier != id);
    let caller = start(Intent::batch(), ipc_once, 1, vec![Handle::Client(Arc::clone(&second))])?;
    eventually("it is in its call", is_away)?;
    let waiter = start(Intent::batch(), ipc_once, 1, vec![Handle::Client(second)])?;
    waits(waiter, BlockReason::Mutex)?;
    end(id)?;
    ends(caller, ExitStatus::Exited(-2))?;
    ends(waiter, ExitStatus::Exited(-2))
}

/// Tasks in ring 3 are killed while they wait for a message, for room, for a call and for a notification: nothing of theirs is left, and the
/// channel that only they had is closed.
fn killed_while_it_waits() -> Outcome {
    let round = || {
        let (to, from) = channel(1).map_err(refused)?;
        let receiver = start(Intent::batch(), ipc_receiver, 0, vec![Handle::Receiver(from.clone())])?;
        waits(receiver, BlockReason::Ipc)?;
        end(receiver)?;
        let sender = start(Intent::batch(), ipc_sender, 2, vec![Handle::Sender(to)])?;
        waits(sender, BlockReason::Ipc)?;
        end(sender)?;
        let got = [from.receive(None).map(|message| value(&message)), from.receive(None).map(|_| 0)];
        ensure(got == [Ok(1), Err(CLOSED)], || format!("a channel whose sender was killed: {got:?}"))?;
        let bell = Notification::new();
        let waiter = start(Intent::batch(), ipc_waiter, 0, vec![Handle::Waiter(bell)])?;
        waits(waiter, BlockReason::Event)?;
        end(waiter)?;
        let (_, id) = server(1)?;
        end(id)
    };
    // What is made once, and the names of tasks, which grow.
    (0..10).try_for_each(|_| round())?;
    let before = heap::used();
    (0..30).try_for_each(|_| round())?;
    eventually("the heap is as it was", || heap::used().1 <= before.1)
        .map_err(|why| format!("{why}: {:?} bytes and pieces are in use, {before:?} were", heap::used()))
}
