//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::PanicsInPolicy;
const NAME: &str = "hostile-makes-none";
