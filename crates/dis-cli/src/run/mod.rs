//! `dis run`: executes a workload for real and reports how its tasks fared.

pub mod baseline;
mod compare;
pub mod dis;
mod fifo;
mod gate;
pub mod interrupt;
pub mod noise;
pub mod outcome;
pub mod plan;
pub mod policies;
pub mod refusal;
pub mod watch;

use std::collections::HashSet;
use std::process::ExitCode;

use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::output::progress::Progress;
use crate::output::{JsonOutput, note, report_text};
use crate::sys;
use crate::trace::TraceFile;
use crate::work::{Calibration, Speed};
use baseline::Baseline;
use compare::{Contender, Schedule};
use dis::DisRound;
use dis_workload::report::Record;
use interrupt::Interrupt;
use outcome::Outcome;
use plan::Plan;
use watch::Watch;

/// Runs the command.
///
/// # Errors
/// Bad input, or a run that failed.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let json = JsonOutput::open(args.json.as_ref())?;
    let mut trace = args.trace.as_deref().map(|path| TraceFile::create(path, sys::monotonic())).transpose()?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    plan.notes.iter().for_each(|text| note(text));
    let mut contenders = vec![Contender::Dis];
    if args.compare {
        for baseline in Baseline::ALL {
            match baseline.check(&plan) {
                Ok(()) => contenders.push(Contender::Linux(baseline)),
                Err(why) => note(&format!("{} left out: {why}", baseline.name())),
            }
        }
    }
    let schedule = Schedule::new(plan.duration, contenders);
    if args.compare {
        note(&schedule.describe());
    }
    let mut progress = Progress::new(!args.no_progress);
    let results = execute(&plan, schedule, &interrupt, &mut progress, &mut trace)?;
    progress.clear();

    let mut results = results.into_iter();
    let Some((_, dis)) = results.next() else { return Err(Failure::failed("nothing was run")) };
    let mut panics = dis.panics.clone();
    let mut report = dis.report("linux", &plan.workload, plan.cpus.len());
    let mut notes = dis.notes;
    for (contender, outcome) in results {
        report.baselines.push(outcome.report(contender.name(), &plan.workload, plan.cpus.len()));
        panics.extend(outcome.panics.iter().cloned());
        notes.extend(outcome.notes);
    }
    if let Some(trace) = trace {
        notes.push(trace.finish()?);
    }
    let stream = json.stream_for_people();
    if !args.quiet {
        stream.write(&report_text(&report, stream))?;
    }
    let mut told = HashSet::new();
    notes.iter().filter(|text| told.insert(text.as_str())).for_each(|text| note(text));
    json.write(&report)?;
    if let Some(code) = interrupt.exit_code() {
        note("stopped early by a signal; the report covers the time until then");
        return Ok(ExitCode::from(code));
    }
    verdict(&panics)
}

/// How the command ends: a task that panicked is a failure.
fn verdict(panics: &[String]) -> Result<ExitCode, Failure> {
    if let Some(first) = panics.first() {
        let more = if panics.len() > 1 { format!(" (and {} more)", panics.len() - 1) } else { String::new() };
        return Err(Failure::failed(format!("{first}{more}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs all rounds. The first result is that of DIS.
fn execute(
    plan: &Plan,
    mut schedule: Schedule,
    interrupt: &Interrupt,
    progress: &mut Progress,
    trace: &mut Option<TraceFile>,
) -> Result<Vec<(Contender, Outcome)>, Failure> {
    let mut results: Vec<(Contender, Outcome)> =
        schedule.contenders.iter().map(|contender| (*contender, Outcome::default())).collect();
    let mut first_speed = None;
    let mut before = 0;
    for number in 0..schedule.rounds {
        if interrupt.has_come() {
            break;
        }
        let speed = calibrate(&mut first_speed, &mut results);
        for index in 0..results.len() {
            let contender = results[index].0;
            if interrupt.has_come() || !schedule.contenders.contains(&contender) {
                continue;
            }
            let label = schedule.label(contender, number);
            let total = schedule.total();
            let mut watch = Watch { interrupt, progress: &mut *progress, label, before, total };
            let outcome = match contender {
                Contender::Dis => {
                    DisRound { plan, speed, length: schedule.length, trace: trace.as_mut() }.run(&mut watch)?
                }
                Contender::Linux(baseline) => {
                    match baseline::run_round(baseline, plan, speed, schedule.length, &mut watch) {
                        Ok(outcome) => outcome,
                        Err(why) => {
                            schedule.contenders.retain(|other| *other != contender);
                            results[0].1.notes.push(format!("{} left out: {why}", baseline.name()));
                            continue;
                        }
                    }
                }
            };
            before += outcome.duration_ns;
            results[index].1.merge(outcome);
        }
    }
    results.retain(|(contender, outcome)| *contender == Contender::Dis || !outcome.records.is_empty());
    results.iter_mut().for_each(|(contender, outcome)| look_for_oddities(*contender, outcome, plan));
    Ok(results)
}

/// Measures the speed of a round, and says so if it has changed or could not be measured well.
fn calibrate(first: &mut Option<Speed>, results: &mut [(Contender, Outcome)]) -> Speed {
    let Calibration { speed, disturbed } = Calibration::measure();
    let Some((_, dis)) = results.first_mut() else { return speed };
    if disturbed > 0.5 {
        dis.notes.push("the machine was busy while its speed was measured; `run` steps may be a little off".into());
    }
    let change = first.map_or(0.0, |first: Speed| speed.slower_than(first));
    if change.abs() > 5.0 {
        let word = if change > 0.0 { "slower" } else { "faster" };
        dis.notes
            .push(format!("the machine became {:.0} % {word} during the run; `run` steps follow it", change.abs()));
    }
    first.get_or_insert(speed);
    speed
}

/// Things about the measurement itself that the reader of the report should know.
fn look_for_oddities(contender: Contender, outcome: &mut Outcome, plan: &Plan) {
    outcome.notes.extend(excess_text(contender, &outcome.records));
    for (instance, record) in plan.workload.instances().zip(&outcome.records) {
        if let Some(problem) = &record.problem {
            outcome.notes.push(format!("{}: {}: {problem}", contender.name(), instance.name()));
        }
    }
}

/// Says by how much the tasks' CPU time and their `run` steps disagree, if that is much.
fn excess_text(contender: Contender, records: &[Record]) -> Option<String> {
    let burnt: u64 = records.iter().map(|record| record.burnt_ns).sum();
    let used: u64 = records.iter().map(|record| record.counters.cpu_ns).sum();
    let jobs: u64 = records.iter().map(|record| record.jobs).sum();
    let excess = used as f64 / burnt.max(1) as f64 - 1.0;
    // In short passes the switches weigh more than the work.
    if burnt <= 50_000_000 || burnt / jobs.max(1) <= 200_000 || excess.abs() <= 0.15 {
        return None;
    }
    let (name, percent) = (contender.name(), (excess * 100.0).abs());
    let speed = "than the speed measured at the start explains: the machine changed its speed meanwhile";
    Some(match contender {
        // The core counts the time from giving a task the CPU to taking it away.
        Contender::Dis if excess > 0.0 => format!(
            "{name}: the tasks held their CPUs for {percent:.0} % longer than their `run` steps computed: in that time \
             other processes or a hypervisor had the CPU, or it ran slower than measured; CPU time, share and overruns \
             contain it"
        ),
        _ if excess > 0.0 => format!("{name}: the `run` steps took {percent:.0} % more CPU time {speed}"),
        _ => format!("{name}: the `run` steps took {percent:.0} % less CPU time {speed}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_the_steps_do_not_explain_is_told() {
        let text = |contender, burnt_ns, cpu_ns| {
            let mut record = Record { burnt_ns, ..Record::default() };
            record.counters.cpu_ns = cpu_ns;
            excess_text(contender, &[record])
        };
        let (dis, threads) = (Contender::Dis, Contender::Linux(Baseline::Eevdf));
        assert_eq!(text(dis, 100_000_000, 110_000_000), None);
        assert_eq!(text(dis, 1_000_000, 9_000_000), None, "too short to tell");
        let held = text(dis, 100_000_000, 250_000_000).unwrap();
        assert!(held.starts_with("linux: the tasks held their CPUs for 150 % longer"), "{held}");
        let slower = text(threads, 100_000_000, 150_000_000).unwrap();
        assert!(slower.starts_with("linux-eevdf: the `run` steps took 50 % more CPU time"), "{slower}");
        assert!(text(dis, 100_000_000, 50_000_000).unwrap().contains("50 % less CPU time"));
    }

    /// No file can make a task panic, as the reader refuses what cannot be run; a workload made in code can.
    #[test]
    fn a_panic_is_told_with_the_tasks_name() {
        use dis_workload::model::{MutexId, Repeat, Step, TaskSpec};
        let mut task = TaskSpec::new("broken", dis_core::intent::Intent::batch(), vec![Step::Lock(MutexId(7))]);
        task.repeat = Repeat::Times(1);
        let workload = dis_workload::Workload { tasks: vec![task], ..Default::default() };
        let plan = Plan {
            file: "w.toml".into(),
            workload: workload.into(),
            cpus: [crate::sys::allowed_cpus()[0]].into(),
            duration: Some(100_000_000),
            policies: Vec::new(),
            modules: Vec::new(),
            limits: dis_runtime::default_limits(),
            seed: 0,
            fifo: false,
            control: None,
            notes: Vec::new(),
        };
        for contenders in [vec![Contender::Dis], vec![Contender::Dis, Contender::Linux(Baseline::Eevdf)]] {
            let schedule = Schedule { rounds: 1, length: 100_000_000, contenders };
            let (interrupt, mut progress) = (Interrupt::default(), Progress::new(false));
            let results = execute(&plan, schedule, &interrupt, &mut progress, &mut None).unwrap();
            assert!(results[0].1.panics[0].starts_with("broken: the task panicked: index out of bounds"));
            assert!(results.iter().skip(1).all(|(_, outcome)| outcome.panics == ["linux-eevdf: broken panicked"]));
        }
        assert_eq!(verdict(&["broken: it panicked".into()]).unwrap_err(), Failure::failed("broken: it panicked"));
        let two = verdict(&["one".into(), "two".into()]).unwrap_err();
        assert_eq!((two.code, two.message.as_str()), (1, "one (and 1 more)"));
        assert!(verdict(&[]).is_ok());
    }
}
