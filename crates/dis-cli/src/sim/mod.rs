//! `dis sim`: what the scheduler would decide, under virtual time.

mod feed;
mod plan;
mod schedule;
mod study;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dis_sim::study::Machine;
use dis_sim::{Kernel, Progress, SimError, Simulation};

use crate::cli::SimArgs;
use crate::failure::Failure;
use crate::output::progress::{Progress as Line, bar};
use crate::output::{JsonOutput, Stream, note, report_text};
use crate::run::interrupt::Interrupt;
use crate::run::policies::fault_notes;
use crate::study::StudySet;
use crate::trace::TraceFile;
use feed::Feed;
use plan::Plan;
use schedule::ScheduleFile;

/// Calls of the core between two looks at Ctrl-C; some milliseconds.
const CALLS: u64 = 20_000;
/// How often the line is drawn.
const FRAME: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// Bad input, a workload that deadlocks, or a file that cannot be written.
pub fn run(args: &SimArgs) -> Result<ExitCode, Failure> {
    let mut plan = Plan::new(args)?;
    if let Some(study) = crate::study::chosen(&args.policy) {
        let set = StudySet::new(study, &plan.workload, plan.file(), plan.options.cpus, &args.policy)?;
        plan.notes.push(study::admit(&set, args, &plan)?);
        let machine = Machine::new(study, plan.options.cpus);
        return simulate(args, &plan, |plan| Simulation::with_kernel(&plan.workload, &plan.options, machine));
    }
    simulate(args, &plan, |plan| Simulation::with_modules(&plan.workload, &plan.options, &plan.chosen.modules))
}

/// Simulates on the machine that `make` makes.
fn simulate<'p, K: Kernel>(
    args: &SimArgs,
    plan: &'p Plan,
    make: impl FnOnce(&'p Plan) -> Result<Simulation<'p, K>, SimError>,
) -> Result<ExitCode, Failure> {
    let json = JsonOutput::open(args.json.as_ref())?;
    let mut schedule = args.schedule.as_ref().map(|place| ScheduleFile::open(place, &plan.workload)).transpose()?;
    let mut trace = args.trace.as_deref().map(|path| TraceFile::create(path, 0)).transpose()?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::failed(format!("cannot listen for Ctrl-C: {error}")))?;
    plan.notes.iter().for_each(|text| note(text));

    let mut simulation = make(plan).map_err(|error| plan.explain(&error))?;
    let feed = Feed::new(&simulation);
    if let Some(trace) = &mut trace {
        feed.begin(plan, trace);
    }
    let mut line = Line::new(!args.no_progress);
    let mut drawn = Instant::now();
    loop {
        let progress = simulation.advance(CALLS).map_err(|error| plan.explain(&error));
        if let Some(schedule) = &mut schedule {
            schedule.write(&simulation.take_schedule())?;
        }
        if let Some(trace) = &mut trace {
            feed.pump(&simulation.take_trace(), trace);
        }
        if progress? == Progress::Over {
            break;
        }
        if interrupt.has_come() {
            simulation.stop();
        } else if line.is_on() && drawn.elapsed() >= FRAME {
            drawn = Instant::now();
            line.draw(&progress_line(&simulation, plan));
        }
    }
    line.clear();

    let mut notes = simulation.problems();
    notes.extend(fault_notes(&plan.chosen.faults));
    if let Some(schedule) = schedule {
        notes.extend(schedule.finish()?);
    }
    if let Some(mut trace) = trace {
        trace.end(simulation.now().as_nanos());
        notes.push(trace.finish()?);
    }
    let report = simulation.report();
    let stdout_is_taken = plan.schedule_on_stdout || json.stream_for_people() == Stream::Err;
    let stream = if stdout_is_taken { Stream::Err } else { Stream::Out };
    if !args.quiet {
        stream.write(&report_text(&report, stream))?;
    }
    notes.iter().for_each(|text| note(text));
    json.write(&report)?;
    if let Some(code) = interrupt.exit_code() {
        note("stopped early by a signal; the report covers the time until then");
        return Ok(ExitCode::from(code));
    }
    Ok(ExitCode::SUCCESS)
}

fn progress_line<K: Kernel>(simulation: &Simulation<'_, K>, plan: &Plan) -> String {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let elapsed = simulation.now().as_nanos();
    let time = match plan.options.duration {
        None => format!("{:.1} s simulated (Ctrl-C ends it)", seconds(elapsed)),
        Some(total) => {
            let total = total.as_nanos();
            let bar = bar(elapsed as f64 / total as f64, 20);
            format!("{bar} {:.1} / {:.1} s simulated", seconds(elapsed), seconds(total))
        }
    };
    format!("{time}  {} events  {} missed", simulation.events(), simulation.all_misses())
}
