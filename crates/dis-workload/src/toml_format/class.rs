//! The intent's class and its parameters.

use dis_core::intent::{IntentClass, QueueType};

use super::fields::Fields;
use crate::text::{Context, did_you_mean, join_or, shorten};

/// Which classes take which parameter.
const PARAMETERS: [(&str, QueueType); 6] = [
    ("period", QueueType::Realtime),
    ("deadline", QueueType::Realtime),
    ("wcet", QueueType::Realtime),
    ("interarrival", QueueType::Realtime),
    ("overrun", QueueType::Realtime),
    ("latency", QueueType::Interactive),
];

pub(super) fn read_class(cx: &mut Context<'_>, fields: &Fields<'_, '_>) -> Option<IntentClass> {
    let names = QueueType::ALL.map(QueueType::name);
    let Some((_, _)) = fields.get("intent") else {
        fields.problem(cx, "intent", format!("is missing; it must be {}", join_or(names)));
        return None;
    };
    let text = fields.text(cx, "intent", &format!("a string: {}", join_or(names)))?;
    let Some(class) = QueueType::from_name(text) else {
        let hint = did_you_mean(text, names);
        let message = format!("\"{}\" is not an intent{hint} (allowed are {})", shorten(text), join_or(names));
        fields.problem(cx, "intent", message);
        return None;
    };
    for (key, owner) in PARAMETERS {
        if owner != class && fields.get(key).is_some() {
            let message = format!("belongs to intent \"{owner}\", but this task is \"{class}\"; leave it out");
            fields.problem(cx, key, message);
        }
    }
    match class {
        QueueType::System => Some(IntentClass::System),
        QueueType::Batch => Some(IntentClass::Batch),
        QueueType::Background => Some(IntentClass::Background),
        QueueType::Interactive => {
            let target_latency_us = required(cx, fields, "latency", "\"2ms\"");
            Some(IntentClass::Interactive { target_latency_us: target_latency_us? })
        }
        QueueType::Realtime => {
            let period_us = required(cx, fields, "period", "\"10ms\"");
            let wcet_us = required(cx, fields, "wcet", "\"2ms\", the most CPU time of one job");
            let deadline_us = match fields.get("deadline") {
                Some(_) => fields.micros(cx, "deadline"),
                None => period_us,
            };
            Some(IntentClass::Realtime { period_us: period_us?, deadline_us: deadline_us?, wcet_us: wcet_us? })
        }
    }
}

/// A duration in µs that the class cannot do without.
fn required(cx: &mut Context<'_>, fields: &Fields<'_, '_>, key: &str, example: &str) -> Option<u64> {
    if fields.get(key).is_none() {
        fields.problem(cx, key, format!("is missing; give a duration such as {example}"));
        return None;
    }
    fields.micros(cx, key)
}
