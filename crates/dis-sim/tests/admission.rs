//! What is refused, and what becomes of it when it is run nevertheless.

mod common;

use common::{failure, options, periodic, workload};
use dis_sim::{Options, SimError, Simulation};

#[test]
fn what_does_not_fit_is_refused_or_seen_to_be_late() {
    let text = periodic("a", 6, 10, 10) + &periodic("b", 5, 10, 10);
    let options = options(1, 200);
    assert!(matches!(failure(&text, &options), SimError::Refused { index: 1, .. }));
    let workload = workload(&text);
    let mut simulation = Simulation::new(&workload, &Options { admission: false, ..options }).unwrap();
    simulation.run().unwrap();
    assert!(simulation.all_misses() > 0);
    assert_eq!(simulation.report().scheduler.unwrap().tasks_created, 2);
}
