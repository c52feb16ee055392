//! Calls: whose time a server's work is, and that nothing is lost however a call ends.

mod common;

use common::direct::{Exec, ask, machine, runs, spawn, state};
use common::{at, ms, us};
use dis_core::api::{BlockReason, CpuMask, ExitStatus, SchedError, Task, TaskId, TaskSpec, TaskState};
use dis_core::executor::{Decision, Kill, Leave};
use dis_core::intent::{Intent, QueueType};
use dis_core::isolation::{Bandwidth, DomainSpec, Quota};
use dis_core::scheduler::Urgency;

const CLIENT: u32 = 1;
const SERVER: u32 = 2;
const BACKEND: u32 = 3;
const OTHER: u32 = 4;
const RECEIVE: Leave = Leave::Block(BlockReason::Receive, None);

fn call(x: &Exec, cpu: usize, now: u64, server: TaskId, until: Option<u64>) -> Decision<u32> {
    let decision = x.call(cpu, server, until.map(at), || at(now)).unwrap();
    x.switched(cpu);
    decision
}

fn reply(x: &Exec, cpu: usize, now: u64) -> Decision<u32> {
    let decision = x.reply(cpu, || at(now)).unwrap();
    x.switched(cpu);
    decision
}

fn reason(x: &Exec, id: TaskId) -> Option<BlockReason> {
    x.with_task(id, Task::block_reason).unwrap()
}

fn cpu_time(x: &Exec, now: u64, id: TaskId) -> u64 {
    x.task_stats(at(now), id).unwrap().cpu_time
}

/// A server on CPU 0 that waits for calls. Afterwards the CPU idles.
fn serving(x: &Exec, now: u64, number: u32, intent: Intent) -> TaskId {
    let intent = intent.with_affinity(CpuMask::single(0));
    let id = spawn(x, now, number, intent);
    assert_eq!(runs(&ask(x, 0, now, Leave::Ask)), Some(number));
    assert_eq!(runs(&ask(x, 0, now, RECEIVE)), None);
    assert_eq!(reason(x, id), Some(BlockReason::Receive));
    let _ = x.set_affinity(at(now), id, CpuMask::ALL);
    id
}

/// A client that runs on CPU 0, and a server.
fn pair(x: &Exec, client: Intent, server: Intent) -> (TaskId, TaskId) {
    let server = serving(x, 0, SERVER, server);
    let client = spawn(x, 0, CLIENT, client);
    assert_eq!(runs(&ask(x, 0, 0, Leave::Ask)), Some(CLIENT));
    (client, server)
}

/// A client whose call to a server has led to one to a backend, which runs on CPU 0 since instant 2.
fn chain(x: &Exec) -> (TaskId, TaskId, TaskId) {
    let backend = serving(x, 0, BACKEND, Intent::batch());
    let (client, server) = pair(x, Intent::interactive(1_000), Intent::batch());
    assert_eq!(runs(&call(x, 0, 1, server, None)), Some(SERVER));
    assert_eq!(runs(&call(x, 0, 2, backend, None)), Some(BACKEND));
    (client, server, backend)
}

#[test]
fn a_server_works_in_the_class_and_on_the_time_of_its_caller() {
    let x = machine(1);
    let (client, server) = pair(&x, Intent::interactive(1_000), Intent::background());
    let decision = call(&x, 0, us(1), server, None);
    let next = decision.next.unwrap();
    assert_eq!((next.id, next.context, next.class, next.switch), (server, SERVER, QueueType::Interactive, true));
    assert_eq!(x.current(0), server);
    assert_eq!(x.carrier_of(server), Ok(client));
    assert_eq!((state(&x, server), reason(&x, server)), (TaskState::Blocked, Some(BlockReason::Ipc)));
    // A Batch task does not come before a Background server that works for an Interactive one.
    let _ = spawn(&x, us(2), OTHER, Intent::batch());
    assert_eq!(runs(&ask(&x, 0, us(3), Leave::Ask)), Some(SERVER));
    let next = reply(&x, 0, us(11)).next.unwrap();
    assert_eq!((next.id, next.context, next.switch), (client, CLIENT, true));
    assert_eq!(reason(&x, server), Some(BlockReason::Receive));
    assert_eq!((cpu_time(&x, us(12), client), cpu_time(&x, us(12), server)), (us(12), 0));
    assert_eq!(x.carrier_of(server), Ok(server));
}

/// "Look, then reply and wait to be called": a wake-up that falls between the two is not lost.
#[test]
fn a_server_that_was_unparked_in_mid_call_goes_on_after_its_reply() {
    let x = machine(1);
    let (client, server) = pair(&x, Intent::batch(), Intent::batch());
    call(&x, 0, 1, server, None);
    assert!(!x.unpark(at(2), server).unwrap().interrupt);
    let decision = reply(&x, 0, 3);
    assert_eq!((runs(&decision), decision.until), (Some(CLIENT), Some(at(4))), "and there is something to decide");
    assert_eq!(state(&x, server), TaskState::Ready);
    assert_eq!(x.call(0, server, None, || at(3)).map(|_| ()), Err(SchedError::InvalidState));
    assert_eq!(runs(&ask(&x, 0, 4, Leave::Yield)), Some(SERVER));
    assert_eq!(runs(&ask(&x, 0, 5, RECEIVE)), Some(CLIENT), "once");
    assert_eq!(runs(&call(&x, 0, 6, server, None)), Some(SERVER));
    assert_eq!(runs(&reply(&x, 0, 7)), Some(CLIENT));
    assert_eq!((state(&x, server), state(&x, client)), (TaskState::Blocked, TaskState::Running));
}

#[test]
fn the_budget_of_the_caller_limits_the_server() {
    // 2 ms of each 10 ms, and the server's own would be without limit.
    let x = machine(1);
    let (client, server) = pair(&x, Intent::realtime(10_000, 10_000, 2_000), Intent::system());
    call(&x, 0, 0, server, None);
    assert_eq!(ask(&x, 0, ms(1), Leave::Ask).until, Some(at(ms(2))));
    assert_eq!(runs(&ask(&x, 0, ms(2), Leave::Ask)), None, "out of budget");
    assert!(x.with_task(client, Task::is_throttled).unwrap());
    assert_eq!(runs(&ask(&x, 0, ms(10), Leave::Ask)), Some(SERVER), "with the caller's next budget");
    assert_eq!(runs(&reply(&x, 0, ms(11))), Some(CLIENT));
    assert_eq!(cpu_time(&x, ms(11), client), ms(3));
}

#[test]
fn a_server_with_a_smaller_budget_is_not_held_to_it_while_it_serves() {
    let x = machine(1);
    let mut limited = Intent::batch();
    limited.qos.cpu_max = 10;
    let (client, server) = pair(&x, Intent::batch(), limited);
    call(&x, 0, 0, server, None);
    assert_eq!(runs(&ask(&x, 0, ms(50), Leave::Ask)), Some(SERVER));
    reply(&x, 0, ms(60));
    assert_eq!((cpu_time(&x, ms(60), client), cpu_time(&x, ms(60), server)), (ms(60), 0));
}

#[test]
fn the_bandwidth_of_the_callers_domain_pays() {
    let x = machine(1);
    let quota = Quota { cpu: Some(Bandwidth::per_mille(200)), ..Quota::default() };
    let domain = x.create_domain(None, DomainSpec::new("clients").with_quota(quota)).unwrap();
    let server = serving(&x, 0, SERVER, Intent::system());
    let spec = TaskSpec::new("", Intent::batch(), CLIENT).in_domain(&domain);
    let _ = x.spawn(at(0), None, spec).unwrap();
    assert_eq!(runs(&ask(&x, 0, 0, Leave::Ask)), Some(CLIENT));
    call(&x, 0, 0, server, None);
    assert_eq!(runs(&ask(&x, 0, ms(2), Leave::Ask)), None);
    assert_eq!(runs(&ask(&x, 0, ms(10), Leave::Ask)), Some(SERVER));
}

#[test]
fn calls_nest_and_the_first_caller_pays_for_all() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(x.carrier_of(backend), Ok(client));
    assert_eq!(runs(&reply(&x, 0, 10)), Some(SERVER));
    assert_eq!(runs(&call(&x, 0, 11, backend, None)), Some(BACKEND), "and again");
    assert_eq!(runs(&reply(&x, 0, 20)), Some(SERVER));
    assert_eq!(runs(&reply(&x, 0, 30)), Some(CLIENT));
    let times = [client, server, backend].map(|id| cpu_time(&x, 30, id));
    assert_eq!(times, [30, 0, 0]);
    assert_eq!(x.reply(0, || at(31)).map(|_| ()), Err(SchedError::InvalidState), "nobody has called the client");
}

#[test]
fn only_one_who_waits_to_be_called_is() {
    let x = machine(1);
    let (client, server) = pair(&x, Intent::batch(), Intent::batch());
    let bare = spawn(&x, 0, OTHER, Intent::batch());
    for other in [client, bare] {
        assert_eq!(x.call(0, other, None, || at(1)).map(|_| ()), Err(SchedError::InvalidState));
    }
    call(&x, 0, 1, server, None);
    assert_eq!(x.call(0, server, None, || at(1)).map(|_| ()), Err(SchedError::InvalidState), "it serves already");
    assert_eq!(x.call(0, client, None, || at(1)).map(|_| ()), Err(SchedError::InvalidState), "a circle");
    for leave in [Leave::NextPeriod, Leave::NextJob(at(2))] {
        assert_eq!(x.schedule(0, at(1), leave).map(|_| ()), Err(SchedError::InvalidState), "the job is the caller's");
    }
    assert_eq!(x.call(1, server, None, || at(1)).map(|_| ()), Err(SchedError::NoCpu));
}

#[test]
fn a_server_that_waits_makes_its_caller_wait_and_is_woken_by_its_own_id() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(runs(&ask(&x, 0, 3, Leave::Block(BlockReason::Io, Some(at(100))))), None);
    assert_eq!((state(&x, client), reason(&x, client)), (TaskState::Blocked, Some(BlockReason::Io)));
    // Those who wait for replies hear of it when these are there.
    for waits in [client, server] {
        assert!(!x.unpark(at(4), waits).unwrap().interrupt);
        assert_eq!(x.wake(at(4), waits).map(|_| ()), Err(SchedError::InvalidState));
    }
    assert!(x.unpark(at(5), backend).unwrap().interrupt);
    assert_eq!(runs(&ask(&x, 0, 5, Leave::Ask)), Some(BACKEND));
    assert_eq!(runs(&ask(&x, 0, 6, Leave::Sleep(at(50)))), None);
    assert_eq!(runs(&ask(&x, 0, 50, Leave::Ask)), Some(BACKEND));
    const BLOCK: Leave = Leave::Block(BlockReason::Event, None);
    assert_eq!(runs(&reply(&x, 0, 60)), Some(SERVER));
    assert!(!ask(&x, 0, 61, BLOCK).next.unwrap().switch, "its token was kept");
    assert_eq!(runs(&reply(&x, 0, 62)), Some(CLIENT));
    assert!(!ask(&x, 0, 63, BLOCK).next.unwrap().switch, "and so was the client's");
    assert_eq!(runs(&ask(&x, 0, 64, BLOCK)), None, "but one each");
}

#[test]
fn a_time_out_gives_the_budget_back_and_lets_the_server_go_on_by_itself() {
    let x = machine(1);
    let (client, server) = pair(&x, Intent::batch(), Intent::background());
    assert_eq!(call(&x, 0, 0, server, Some(100)).until, Some(at(100)));
    let decision = ask(&x, 0, 100, Leave::Ask);
    assert_eq!((runs(&decision), decision.next.unwrap().switch), (Some(CLIENT), true));
    assert_eq!(state(&x, server), TaskState::Ready);
    assert_eq!(x.carrier_of(server), Ok(server));
    assert_eq!(runs(&ask(&x, 0, 200, Leave::Exit(0))), Some(SERVER));
    assert_eq!(x.reply(0, || at(250)).map(|_| ()), Err(SchedError::InvalidState), "its caller is not there");
    assert_eq!(runs(&ask(&x, 0, 250, RECEIVE)), None);
    let times = [client, server].map(|id| cpu_time(&x, 250, id));
    assert_eq!(times, [200, 50]);
}

#[test]
fn a_time_out_finds_a_server_that_waits_waiting_still() {
    let x = machine(1);
    let (_, server) = pair(&x, Intent::batch(), Intent::background());
    call(&x, 0, 0, server, Some(100));
    assert_eq!(ask(&x, 0, 1, Leave::Block(BlockReason::Io, Some(at(300)))).until, Some(at(100)));
    assert_eq!(runs(&ask(&x, 0, 100, Leave::Ask)), Some(CLIENT));
    assert_eq!((state(&x, server), reason(&x, server)), (TaskState::Blocked, Some(BlockReason::Io)));
    assert_eq!(ask(&x, 0, 150, Leave::Block(BlockReason::Event, None)).until, Some(at(300)));
    assert_eq!(runs(&ask(&x, 0, 300, Leave::Ask)), Some(SERVER));
}

#[test]
fn the_time_out_of_an_inner_call_parts_the_stack_there() {
    let x = machine(1);
    let backend = serving(&x, 0, BACKEND, Intent::batch());
    let (client, server) = pair(&x, Intent::interactive(1_000), Intent::batch());
    call(&x, 0, 1, server, Some(500));
    call(&x, 0, 2, backend, Some(100));
    // The server goes on on the client's time, the backend on its own.
    assert_eq!(runs(&ask(&x, 0, 100, Leave::Ask)), Some(SERVER));
    assert_eq!((x.carrier_of(server), x.carrier_of(backend)), (Ok(client), Ok(backend)));
    // And that of an outer one takes all along that are above.
    let y = machine(1);
    let backend = serving(&y, 0, BACKEND, Intent::batch());
    let (client, server) = pair(&y, Intent::interactive(1_000), Intent::batch());
    call(&y, 0, 1, server, Some(100));
    call(&y, 0, 2, backend, None);
    assert_eq!(runs(&ask(&y, 0, 100, Leave::Ask)), Some(CLIENT));
    assert_eq!((y.carrier_of(server), y.carrier_of(backend)), (Ok(server), Ok(server)));
    assert_eq!(runs(&ask(&y, 0, 110, Leave::Exit(0))), Some(BACKEND), "on the server's time");
    assert_eq!(runs(&reply(&y, 0, 130)), Some(SERVER));
    assert_eq!([client, server, backend].map(|id| cpu_time(&y, 130, id)), [110, 20, 0]);
}

#[test]
fn a_caller_that_is_killed_ends_at_once_and_its_server_goes_on() {
    for waits in [false, true] {
        let x = machine(1);
        let (client, server, backend) = chain(&x);
        if waits {
            ask(&x, 0, 3, Leave::Block(BlockReason::Io, None));
        }
        assert_eq!(x.kill(at(10), client), Ok(Kill::Pending(0)));
        assert_eq!(x.kill(at(10), client), Err(SchedError::InvalidState));
        let decision = ask(&x, 0, 10, Leave::Ask);
        assert_eq!((state(&x, client), runs(&decision)), (TaskState::Zombie, (!waits).then_some(BACKEND)));
        assert_eq!(x.with_task(client, Task::exit_status), Ok(Some(ExitStatus::Killed)));
        assert_eq!((x.carrier_of(server), x.carrier_of(backend)), (Ok(server), Ok(server)));
        if waits {
            assert_eq!(reason(&x, server), Some(BlockReason::Io));
            let _ = x.unpark(at(11), backend);
            assert_eq!(runs(&ask(&x, 0, 11, Leave::Ask)), Some(BACKEND));
        } else {
            assert!(!decision.next.unwrap().switch, "it was running");
        }
        assert_eq!(runs(&reply(&x, 0, 12)), Some(SERVER));
        assert_eq!(runs(&ask(&x, 0, 13, RECEIVE)), None);
        assert_eq!(x.join(client, server), Ok(Some(ExitStatus::Killed)));
    }
}

#[test]
fn a_caller_in_the_middle_that_is_killed_ends_both_calls() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(x.kill(at(10), server), Ok(Kill::Pending(0)));
    assert_eq!(runs(&ask(&x, 0, 10, Leave::Ask)), Some(CLIENT), "without a reply");
    assert_eq!((state(&x, server), state(&x, backend)), (TaskState::Zombie, TaskState::Ready));
    assert_eq!((x.carrier_of(client), x.carrier_of(backend)), (Ok(client), Ok(backend)));
}

#[test]
fn a_server_that_is_killed_or_ends_lets_its_caller_go_on() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(x.kill(at(10), backend), Ok(Kill::Pending(0)));
    // Its registers are in the CPU: it ends when they are saved.
    let decision = x.schedule(0, at(10), Leave::Ask).unwrap();
    assert_eq!((runs(&decision), decision.next.unwrap().switch), (Some(SERVER), true));
    assert_eq!(state(&x, backend), TaskState::Blocked);
    assert!(x.switched(0), "and that CPU asks again");
    assert_eq!(runs(&ask(&x, 0, 10, Leave::Ask)), Some(SERVER));
    assert_eq!(state(&x, backend), TaskState::Zombie);
    let decision = ask(&x, 0, 20, Leave::Exit(7));
    assert_eq!((runs(&decision), decision.next.unwrap().switch), (Some(CLIENT), true));
    assert_eq!(x.with_task(server, Task::exit_status), Ok(Some(ExitStatus::Exited(7))));
    assert_eq!([client, server, backend].map(|id| cpu_time(&x, 30, id)), [30, 0, 0]);
}

#[test]
fn a_caller_may_give_up() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(x.cancel_call(backend).map(|_| ()), Err(SchedError::InvalidState));
    assert!(x.cancel_call(client).unwrap().interrupt);
    assert_eq!(runs(&ask(&x, 0, 10, Leave::Ask)), Some(CLIENT));
    assert_eq!((x.carrier_of(server), x.carrier_of(backend)), (Ok(server), Ok(server)));
    assert_eq!(x.cancel_call(client).map(|_| ()), Err(SchedError::InvalidState));
}

#[test]
fn a_server_may_give_its_call_up() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    assert_eq!(x.drop_call(client).map(|_| ()), Err(SchedError::InvalidState));
    assert!(x.drop_call(backend).unwrap().interrupt);
    assert_eq!(runs(&ask(&x, 0, 10, Leave::Ask)), Some(SERVER));
    assert_eq!((x.carrier_of(server), x.carrier_of(backend)), (Ok(client), Ok(backend)));
    assert_eq!(x.drop_call(backend).map(|_| ()), Err(SchedError::InvalidState));
    for (id, context) in [(client, CLIENT), (server, SERVER), (backend, BACKEND)] {
        assert_eq!(x.with_context(id, |_, context| context), Ok(context));
    }
}

#[test]
fn a_reply_overtakes_a_cancellation() {
    let x = machine(1);
    let (client, server) = pair(&x, Intent::batch(), Intent::batch());
    call(&x, 0, 1, server, None);
    let _ = x.cancel_call(client).unwrap();
    assert_eq!(runs(&reply(&x, 0, 2)), Some(CLIENT));
    assert_eq!(reason(&x, server), Some(BlockReason::Receive));
    assert_eq!(runs(&call(&x, 0, 3, server, None)), Some(SERVER));
    assert_eq!(runs(&ask(&x, 0, 4, Leave::Ask)), Some(SERVER), "the next call is another");
}

#[test]
fn a_server_comes_to_its_caller_s_cpu_and_moves_with_it() {
    let x = machine(2);
    let backend = serving(&x, 0, BACKEND, Intent::batch());
    let server = serving(&x, 0, SERVER, Intent::batch());
    let client = spawn(&x, 0, CLIENT, Intent::batch().with_affinity(CpuMask::single(1)));
    assert_eq!(runs(&ask(&x, 1, 0, Leave::Ask)), Some(CLIENT));
    assert_eq!(runs(&call(&x, 1, 1, server, None)), Some(SERVER));
    assert_eq!(runs(&call(&x, 1, 2, backend, Some(1_000))), Some(BACKEND));
    assert_eq!([server, backend].map(|id| x.cpu_of(id)), [Ok(1), Ok(1)]);
    // The caller is sent back to CPU 0, and with it all that it is waiting for.
    assert!(x.set_affinity(at(3), client, CpuMask::single(0)).unwrap().interrupt);
    assert_eq!(runs(&ask(&x, 1, 3, Leave::Ask)), None);
    assert_eq!(runs(&ask(&x, 1, 3, Leave::Ask)), None);
    assert_eq!([client, server, backend].map(|id| x.cpu_of(id)), [Ok(0), Ok(0), Ok(0)]);
    let decision = ask(&x, 0, 4, Leave::Ask);
    assert_eq!((runs(&decision), decision.until), (Some(BACKEND), Some(at(1_000))));
    assert_eq!(runs(&ask(&x, 0, 1_000, Leave::Ask)), Some(SERVER), "and the time-out has come along");
}

#[test]
fn a_server_whose_registers_are_not_saved_cannot_be_called_elsewhere() {
    let x = machine(2);
    let server = spawn(&x, 0, SERVER, Intent::batch().with_affinity(CpuMask::single(0)));
    ask(&x, 0, 0, Leave::Ask);
    let _ = spawn(&x, 0, CLIENT, Intent::batch().with_affinity(CpuMask::single(1)));
    ask(&x, 1, 0, Leave::Ask);
    x.schedule(0, at(1), RECEIVE).unwrap();
    assert_eq!(x.call(1, server, None, || at(1)).map(|_| ()), Err(SchedError::InvalidState));
    x.switched(0);
    assert_eq!(runs(&call(&x, 1, 2, server, None)), Some(SERVER));
    // After a reply, too.
    x.reply(1, || at(3)).unwrap();
    let _ = spawn(&x, 3, OTHER, Intent::batch().with_affinity(CpuMask::single(0)));
    ask(&x, 0, 3, Leave::Ask);
    assert_eq!(x.call(0, server, None, || at(4)).map(|_| ()), Err(SchedError::InvalidState));
    x.switched(1);
    assert!(x.call(0, server, None, || at(5)).is_ok());
}

#[test]
fn who_waits_for_a_server_makes_its_caller_s_time_urgent() {
    let x = machine(1);
    let (client, server, backend) = chain(&x);
    let low = Intent::background();
    let _ = x.set_intent(at(2), client, &low).unwrap();
    ask(&x, 0, 2, Leave::Ask);
    let other = spawn(&x, 3, OTHER, Intent::interactive(1_000));
    assert_eq!(runs(&ask(&x, 0, 3, Leave::Ask)), Some(OTHER));
    ask(&x, 0, 4, Leave::Block(BlockReason::Mutex, None));
    // It waits for the server in the middle, by whatever way: all of the stack works for it.
    let lent = x.urgency(other).unwrap();
    let _ = x.inherit(at(4), server, Some(lent)).unwrap();
    assert_eq!(x.with_task(client, Task::effective_class), Ok(QueueType::Background), "until it decides anew");
    assert_eq!(ask(&x, 0, 4, Leave::Ask).next.unwrap().class, QueueType::Interactive);
    assert_eq!(x.urgency(backend), Ok(Urgency { ..lent }));
    assert_eq!(runs(&reply(&x, 0, 5)), Some(SERVER));
    assert_eq!(ask(&x, 0, 5, Leave::Ask).next.unwrap().class, QueueType::Interactive);
    // The loan stays with the server when that goes home.
    assert_eq!(runs(&reply(&x, 0, 6)), Some(CLIENT));
    assert_eq!(ask(&x, 0, 7, Leave::Ask).next.unwrap().class, QueueType::Background);
    assert_eq!(x.urgency(server), Ok(lent));
}
