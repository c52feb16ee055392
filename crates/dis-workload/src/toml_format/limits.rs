//! `[limits]`: caps and floors of the class guarantees.

use dis_core::api::Duration;
use toml::de::DeTable;

use super::fields::Fields;
use crate::model::Limits;
use crate::text::{Context, parse_share};

const KEYS: [&str; 5] = ["system", "realtime", "background", "batch_wait", "background_wait"];

pub(super) fn read(cx: &mut Context<'_>, table: &DeTable<'_>, at: usize) -> Limits {
    let fields = Fields::new(cx, table, at, "limits".into(), &KEYS);
    let mut share = |key| fields.parsed(cx, key, "a string such as \"95%\"", parse_share);
    let (system, realtime, background) = (share("system"), share("realtime"), share("background"));
    let mut wait = |key| {
        let wait = fields.positive(cx, key)?;
        if wait > Duration::from_secs(3_600) {
            fields.problem(cx, key, "is longer than an hour; it must be at most \"3600s\"");
        }
        Some(wait)
    };
    let (batch_wait, background_wait) = (wait("batch_wait"), wait("background_wait"));
    if let (Some(system), Some(realtime)) = (system, realtime)
        && system > realtime
    {
        let message = "is above `realtime`, which is the cap of realtime and system together; lower it";
        fields.problem(cx, "system", message);
    }
    Limits { system, realtime, background, batch_wait, background_wait }
}
