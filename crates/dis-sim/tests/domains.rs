//! `[[domain]]` in a workload: what its tasks get together.

mod common;

use common::{MS, options, task, workload};
use dis_sim::Simulation;
use dis_workload::report::Report;

fn report(text: &str, cpus: usize) -> Report {
    let workload = workload(text);
    let mut simulation = Simulation::new(&workload, &options(cpus, 2_000)).unwrap();
    simulation.run().unwrap();
    simulation.report()
}

fn hogs(name: &str, domain: &str, instances: usize) -> String {
    let rest = format!("intent = \"batch\"\ninstances = {instances}\nloop = [ {{ run = \"5ms\" }} ]");
    task(name, &if domain.is_empty() { rest } else { format!("domain = \"{domain}\"\n{rest}") })
}

/// CPU time of the tasks whose names begin so, ms.
fn used(report: &Report, name: &str) -> u64 {
    report.tasks.iter().filter(|task| task.name.starts_with(name)).map(|task| task.cpu_ns).sum::<u64>() / MS
}

#[test]
fn domains_of_equal_weight_get_half_each_however_many_tasks_they_have() {
    let domains = "[[domain]]\nname = \"one\"\n[[domain]]\nname = \"many\"\n";
    let fair = report(&(domains.to_string() + &hogs("lone", "one", 1) + &hogs("swarm", "many", 8)), 1);
    assert!(used(&fair, "lone").abs_diff(1_000) <= 20, "{} ms", used(&fair, "lone"));
    let told: Vec<(&str, u64)> = fair.domains.iter().map(|domain| (&*domain.name, domain.cpu_ns / MS)).collect();
    assert_eq!(told, [("one", used(&fair, "lone")), ("many", used(&fair, "swarm"))]);
    // The same tasks in no domain: a ninth each.
    let plain = report(&(hogs("lone", "", 1) + &hogs("swarm", "", 8)), 1);
    assert!(used(&plain, "lone").abs_diff(222) <= 20, "{} ms", used(&plain, "lone"));
}

#[test]
fn weights_divide() {
    let domains = "[[domain]]\nname = \"light\"\n[[domain]]\nname = \"heavy\"\nweight = 300\n";
    let told = report(&(domains.to_string() + &hogs("few", "heavy", 2) + &hogs("swarm", "light", 8)), 1);
    assert!(used(&told, "few").abs_diff(1_500) <= 40, "{} ms", used(&told, "few"));
}

#[test]
fn a_quota_throttles_all_tasks_of_a_domain_together() {
    let domains = "[[domain]]\nname = \"guest\"\n[[domain]]\nname = \"quarter\"\nparent = \"guest\"\ncpu = \"25%\"\ncpu_period = \"20ms\"\n";
    let told = report(&(domains.to_string() + &hogs("swarm", "quarter", 4)), 2);
    assert!(used(&told, "swarm").abs_diff(500) <= 10, "{} ms", used(&told, "swarm"));
    assert!(told.domains[1].throttled > 0);
    assert_eq!(told.domains[1].parent.as_deref(), Some("guest"));
    // The domain above is told what those below used.
    assert_eq!(told.domains[0].cpu_ns, told.domains[1].cpu_ns);
}
