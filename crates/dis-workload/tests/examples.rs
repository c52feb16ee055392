//! The examples in the repository.

use std::fs;
use std::path::Path;

use dis_workload::Workload;

#[test]
fn every_example_is_read_without_a_note() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let workload = Workload::load(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(workload.notes, [], "{}", path.display());
            assert!(workload.duration.is_some() && workload.cpus.is_some(), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 5);
}

#[test]
fn the_example_of_the_documentation_is_valid() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/workload-format.md")).unwrap();
    let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let workload = Workload::from_toml(text, "docs").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((workload.instances().count(), workload.notes.len()), (6, 0));
}
