//! What both readers need: positions, units and suggestions.

mod context;
mod suggest;
mod units;

pub(crate) use context::{Context, join_or, shorten};
pub(crate) use suggest::did_you_mean;
pub(crate) use units::{parse_bytes, parse_cpus, parse_duration, parse_rate, parse_share};
