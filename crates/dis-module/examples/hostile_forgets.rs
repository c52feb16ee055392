//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::Forgets;
const NAME: &str = "hostile-forgets";
