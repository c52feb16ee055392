//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::Panics;
const NAME: &str = "hostile-panics";
