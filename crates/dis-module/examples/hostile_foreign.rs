//! A module that misbehaves, for tests.

include!("hostile/mod.rs");

const KIND: Kind = Kind::NamesAForeignTask;
const NAME: &str = "hostile-foreign";
