//! Times drawn at random: the same for the same seed, whatever else happens.

mod common;

use common::{options, schedule, task, workload};
use dis_sim::{Options, Simulation};

const BODY: &str = "repeat = 50\nloop = [ { sleep = { bursty = [\"1ms\", \"20ms\"], burst = 4 } }, { run = { uniform = [\"100us\", \"900us\"] } } ]";

fn text() -> String {
    task("a", &format!("intent = \"interactive\"\nlatency = \"1ms\"\ninstances = 2\n{BODY}"))
}

#[test]
fn a_seed_determines_the_schedule() {
    let run = |seed| schedule(&text(), &Options { seed, duration: None, ..options(2, 1) });
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// CPU time used by the first task on a machine where others are in its way or not.
#[test]
fn what_a_task_draws_does_not_depend_on_the_others() {
    let used = |text: &str| {
        let workload = workload(text);
        let mut simulation = Simulation::new(&workload, &Options { seed: 3, duration: None, ..options(1, 1) }).unwrap();
        simulation.run().unwrap();
        let report = simulation.report();
        (report.tasks[0].cpu_ns, report.tasks[1].cpu_ns)
    };
    let alone = used(&text());
    assert_ne!(alone.0, alone.1, "instances draw from streams of their own");
    let hog = task("hog", "intent = \"system\"\nrepeat = 300\nloop = [ { run = \"2ms\" }, { sleep = \"1ms\" } ]");
    assert_eq!(used(&(text() + &hog)), alone);
}
