//! What a task's child processes and threads inherit; several runtimes in one process.

use std::process::Command;
use std::time::Duration;

use dis_runtime::process::{inherit_all_cpus, use_all_cpus};
use dis_runtime::{Intent, Runtime, sleep, spawn_fn};

/// A program that prints what it has inherited: masks of signals, CPUs, timer slack.
fn child() -> Command {
    let mut command = Command::new("grep");
    command.args(["-hE", "^(SigBlk|SigIgn|SigPnd|Cpus_allowed_list):|^[0-9]+$"]);
    command.args(["/proc/self/status", "/proc/self/timerslack_ns"]);
    command
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // Of two signals of its own, 32 and 33, the C library makes `posix_spawn` and `fork` think differently.
    let (before, rest) = text.split_once("SigIgn:\t").unwrap();
    let (ignored, rest) = rest.split_once('\n').unwrap();
    let ignored = u64::from_str_radix(ignored, 16).unwrap() & !(0b11 << 31);
    format!("{before}SigIgn:\t{ignored:016x}\n{rest}")
}

fn line<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(name)).unwrap()
}

#[test]
fn a_child_inherits_what_it_would_without_the_runtime() {
    let ordinary = printed(&mut child());
    for signal in [libc::SIGURG, libc::SIGUSR2] {
        let rt = Runtime::builder().workers(2).signal(signal).build().unwrap();
        let task = rt.spawn_fn(Intent::interactive(1000), || {
            let plain = printed(&mut child());
            (plain, printed(inherit_all_cpus(&mut child()).unwrap()))
        });
        let (plain, whole) = task.unwrap().join().unwrap();
        assert_eq!(whole, ordinary);
        for name in ["SigBlk", "SigIgn", "SigPnd"] {
            assert_eq!(line(&plain, name), line(&ordinary, name));
        }
        // What the function is for.
        assert!(!line(&plain, "Cpus_allowed_list").contains(['-', ',']), "{plain}");
        assert_eq!(plain.lines().last(), Some("1"));
    }
}

#[test]
fn a_real_time_policy_is_not_handed_down() {
    let rt = Runtime::builder().workers(1).fifo(3).build().unwrap();
    let task = rt.spawn_fn(Intent::batch(), || {
        // The 41st field of the line is the policy; the name has no blanks.
        let stat = Command::new("cat").arg("/proc/self/stat").output().unwrap().stdout;
        String::from_utf8(stat).unwrap().split(' ').nth(40).unwrap().to_owned()
    });
    assert_eq!(task.unwrap().join().unwrap(), "0");
}

#[test]
fn a_thread_of_a_task_may_use_all_cpus() {
    let own = std::thread::available_parallelism().unwrap();
    let rt = Runtime::builder().workers(1).build().unwrap();
    let task = rt.spawn_fn(Intent::batch(), move || {
        assert!(use_all_cpus().is_err(), "it belongs to its worker");
        assert_eq!(std::thread::available_parallelism().unwrap().get(), 1);
        let thread = std::thread::spawn(|| {
            use_all_cpus().unwrap();
            std::thread::available_parallelism().unwrap()
        });
        thread.join().unwrap()
    });
    assert_eq!(task.unwrap().join().unwrap(), own);
}

/// Many children from tasks that are preempted all the time.
#[test]
fn children_are_started_and_reaped_under_preemption() {
    let rt = Runtime::builder().workers(2).build().unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let body = move || {
                (0..8).all(|i| {
                    let mut command = Command::new("sh");
                    command.args(["-c", "exit $0", &(10 * n + i).to_string()]);
                    command.status().unwrap().code() == Some(10 * n + i)
                })
            };
            rt.spawn_fn(Intent::batch(), body).unwrap()
        })
        .collect();
    let hog = rt.spawn_fn(Intent::batch(), || {
        let end = dis_runtime::now() + Duration::from_millis(100).into();
        while dis_runtime::now() < end {}
    });
    assert!(tasks.into_iter().all(|task| task.join().unwrap()));
    hog.unwrap().join().unwrap();
}

/// Two runtimes on the same CPUs, with the same signal and with different ones; tasks of the one use and join those of the other.
#[test]
fn two_runtimes_in_a_process() {
    for second in [libc::SIGURG, libc::SIGUSR1] {
        let one = Runtime::builder().name("one").workers(2).build().unwrap();
        let two = Runtime::builder().name("two").workers(2).signal(second).build().unwrap();
        let hogs: Vec<_> = [&one, &two]
            .into_iter()
            .flat_map(|rt| (0..3).map(move |_| rt))
            .map(|rt| {
                let body = || {
                    let end = dis_runtime::now() + Duration::from_millis(30).into();
                    while dis_runtime::now() < end {}
                };
                rt.spawn_fn(Intent::batch(), body).unwrap()
            })
            .collect();
        let sleeper = |rt: &Runtime| {
            rt.spawn_fn(Intent::interactive(1000), || (0..10).for_each(|_| sleep(Duration::from_millis(1)))).unwrap()
        };
        let across = sleeper(&one);
        let joiner = two.spawn_fn(Intent::batch(), move || {
            across.join().unwrap();
            spawn_fn(Intent::batch(), || 7).unwrap().join().unwrap()
        });
        assert_eq!(joiner.unwrap().join().unwrap(), 7);
        sleeper(&two).join().unwrap();
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        assert!(one.shutdown(Duration::from_secs(10)), "the first ends by itself");
        sleeper(&two).join().unwrap();
        assert!(two.shutdown(Duration::from_secs(10)));
    }
}
