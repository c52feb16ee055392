//! Realtime tasks whose jobs arrive, or run, as it happens.

use super::fields::Fields;
use super::times::{self, Time};
use crate::model::{Distribution, DistributionId, Interner, Release, Step, TaskSpec};
use crate::text::Context;
use dis_core::intent::{Intent, IntentClass};

/// `interarrival`.
pub(super) fn read(cx: &mut Context<'_>, fields: &Fields<'_, '_>, objects: &mut Interner) -> Option<DistributionId> {
    times::read(cx, fields, "interarrival", objects).map(|time| match time {
        Time::Fixed(time) => objects.distribution(Distribution::Uniform { low: time, high: time }),
        Time::Drawn(id) => id,
    })
}

/// When the jobs of such an intent are released.
pub(super) fn release(intent: &Intent, interarrival: Option<DistributionId>) -> Release {
    match (Release::of(intent), interarrival) {
        (Release::Periodic(separation), Some(interarrival)) => Release::Sporadic { separation, interarrival },
        (release, _) => release,
    }
}

/// Notes what is not as it may seem.
pub(super) fn remark(cx: &mut Context<'_>, fields: &Fields<'_, '_>, task: &TaskSpec, objects: &Interner) {
    let mut note = |key: &str, text: String| cx.note(fields.place(key), fields.field(key), text);
    if let Release::Sporadic { separation, interarrival } = task.release {
        let distances = objects.distribution_of(interarrival);
        if distances.longest() <= separation {
            note(
                "interarrival",
                format!("is never longer than the period, {separation}: jobs are released periodically"),
            );
        } else if distances.shortest() < separation {
            let text = format!(
                "may be shorter than the period, {separation}: what arrives sooner is released later, a period apart"
            );
            note("interarrival", text);
        }
    }
    let IntentClass::Realtime { .. } = task.intent.class else { return };
    let drawn =
        |step: &Step| if let Step::RunDrawn(id) = step { Some(objects.distribution_of(*id).longest()) } else { None };
    let longest = task.steps().filter_map(drawn).max();
    match (longest, task.most_drawn()) {
        (Some(longest), Some(most)) if longest > most => note(
            "loop",
            format!(
                "the run times drawn for a job are cut to {most} together, which the others leave of the wcet; `overrun = true` lets \
                 jobs exceed it, and be stopped"
            ),
        ),
        (None, None) => note("overrun", "has no effect: no run time of the loop is drawn at random".into()),
        _ => {}
    }
}
