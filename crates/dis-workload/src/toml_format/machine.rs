//! `[sim]`: what a simulated machine takes for switches and timers.

use toml::de::DeTable;

use super::fields::Fields;
use crate::model::Machine;
use crate::text::Context;

const KEYS: [&str; 4] = ["switch_cost", "migration_cost", "preemption_cost", "timer_resolution"];

pub(super) fn read(cx: &mut Context<'_>, table: &DeTable<'_>, at: usize) -> Machine {
    let fields = Fields::new(cx, table, at, "sim".into(), &KEYS);
    Machine {
        switch_cost: fields.duration(cx, "switch_cost"),
        migration_cost: fields.duration(cx, "migration_cost"),
        preemption_cost: fields.duration(cx, "preemption_cost"),
        timer_resolution: fields.duration(cx, "timer_resolution"),
    }
}
