//! `dis sweep`: figures, files, errors.

mod common;

use common::{Folder, dis, report, text};

/// Few and small sets, so that it takes a moment only.
const SMALL: [(&str, &str); 6] =
    [("--cpus", "2"), ("--tasks", "6"), ("--from", "40"), ("--to", "90"), ("--step", "10"), ("--sets", "40")];

/// A small sweep, but for what is said otherwise.
fn small(more: &[&str]) -> std::process::Output {
    let usual = SMALL.iter().filter(|(option, _)| !more.contains(option));
    let usual: Vec<&str> = usual.flat_map(|&(option, value)| [option, value]).collect();
    dis(&[&["sweep"], &usual[..], more].concat())
}

fn error(more: &[&str]) -> String {
    let output = small(more);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(text(&output.stdout), "", "{message}");
    message
}

#[test]
fn the_same_bytes_whatever_the_number_of_threads() {
    let folder = Folder::new();
    let all = |threads: &str, name: &str| {
        let (csv, svg) = (folder.path(&format!("{name}.csv")), folder.path(&format!("{name}.svg")));
        let output = small(&["--threads", threads, "--csv", &csv, "--svg", &svg]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        [text(&output.stdout), std::fs::read_to_string(csv).unwrap(), std::fs::read_to_string(svg).unwrap()]
    };
    let one = all("1", "one");
    assert_eq!(one, all("7", "seven"));
    assert!(one[0].contains("2 CPUs, 6 tasks, deadline = period"), "{}", one[0]);
    assert!(one[2].starts_with("<svg ") && one[2].trim_end().ends_with("</svg>"));
    let other = small(&["--seed", "2"]);
    assert_ne!(one[0], text(&other.stdout));
}

/// Rows of figures: utilisation, sets, and a column for each test.
fn csv(output: &std::process::Output) -> (Vec<String>, Vec<Vec<f64>>) {
    let text = text(&output.stdout);
    let mut lines = text.lines();
    let names = lines.next().unwrap().split(',').map(String::from).collect();
    (names, lines.map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect()).collect())
}

/// A test accepts fewer sets the fuller the machine is, and at least what it follows from. Some sets have to be split.
#[test]
fn figures_make_sense() {
    let output = small(&["--csv", "-", "--to", "100"]);
    let (names, rows) = csv(&output);
    assert!(text(&output.stderr).contains("Accepted, in percent"));
    assert_eq!(rows.iter().map(|row| row[1]).collect::<Vec<_>>(), [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
    let column = |name: &str| names.iter().position(|known| known == name).unwrap();
    for row in &rows {
        assert!(row.len() == names.len() && row[0] == 2.0 && row[2] == 40.0);
        assert!(row[3..].iter().all(|ratio| (0.0..=1.0).contains(ratio)));
        for (whole, part) in [
            ("global", "gfb"),
            ("global", "bcl"),
            ("global", "rta"),
            ("c=d", "partitioned"),
            ("partitioned", "partitioned-bound"),
        ] {
            assert!(row[column(whole)] >= row[column(part)], "{row:?}");
        }
    }
    let (first, last) = (&rows[0], &rows[rows.len() - 1]);
    assert!((3..names.len()).all(|test| first[test] >= last[test]), "{first:?} {last:?}");
    assert!(first[column("global")] > 0.5 && last[column("gfb")] < 0.1, "{first:?} {last:?}");
    assert!(last[column("c=d")] > last[column("partitioned")] + 0.05, "{last:?}");
}

#[test]
fn a_point_does_not_depend_on_its_neighbours() {
    let (_, all) = csv(&small(&["--csv", "-"]));
    let (_, one) = csv(&small(&["--csv", "-", "--from", "60", "--to", "60"]));
    assert_eq!(one, [all[2].clone()]);
}

/// Each number of CPUs has the figures that it has alone, and a chart.
#[test]
fn machines_of_several_sizes() {
    let folder = Folder::new();
    let svg = folder.path("machines.svg");
    let several = |cpus: &str| {
        let fewer = ["sweep", "--sets", "20", "--step", "20", "--quiet", "--no-progress", "--csv", "-"];
        csv(&dis(&[&fewer[..], &["--cpus", cpus, "--svg", &svg]].concat())).1
    };
    let rows = several("8,1..2,2");
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 8.0, 8.0, 8.0]);
    let drawing = std::fs::read_to_string(&svg).unwrap();
    for caption in ["1 CPU, 4 tasks", "2 CPUs, 8 tasks", "8 CPUs, 32 tasks"] {
        assert!(drawing.contains(caption), "{caption}");
    }
    assert_eq!([several("1"), several("2"), several("8")].concat(), rows);
    let table = text(&small(&["--cpus", "2,3", "--step", "50"]).stdout);
    assert!(table.contains("2 machines") && table.contains("\n3 CPUs, 6 tasks\n"), "{table}");
}

#[test]
fn json_says_what_was_done() {
    let options = ["--periods", "automotive", "--deadline-ratio", "0.5..1", "--generator", "uunifast-discard"];
    let output = small(&[&options[..], &["--tests", "gfb,rta", "--json", "-", "--quiet", "--seed", "9"]].concat());
    let document = report(&output);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(document["schema"], "dis-sweep/2");
    assert_eq!(document["tests"], serde_json::json!(["gfb", "rta"]));
    assert_eq!(document["periods"]["kind"], "automotive");
    assert_eq!(document["deadline_ratio"], serde_json::json!([0.5, 1.0]));
    assert_eq!((document["seed"].as_u64(), document["generator"].as_str()), (Some(9), Some("uunifast-discard")));
    assert_eq!((&document["machines"][0]["cpus"], &document["machines"][0]["tasks"]), (&2.into(), &6.into()));
    let points = document["machines"][0]["points"].as_array().unwrap();
    assert!(points.len() == 6 && points.iter().all(|point| point["accepted"].as_array().unwrap().len() == 2));
}

#[test]
fn mistakes_are_explained() {
    assert!(error(&["--from", "90", "--to", "80"]).contains("--from 90.0 % is above --to 80.0 %"));
    assert!(error(&["--tests", "gfb,luck"]).contains("`luck` is no test (names: "));
    assert!(error(&["--generator", "drs"]).contains("names: uunifast-discard or fixed-sum"));
    assert!(error(&["--periods", "1s..10ms"]).contains("the shorter one first"));
    assert!(error(&["--periods", "10..20"]).contains("has no unit"));
    assert!(error(&["--deadline-ratio", "2"]).contains("0 to 1"));
    assert!(error(&["--step", "0"]).contains("must be above 0"));
    assert!(error(&["--cpus", "257"]).contains("1..=256"));
    assert!(error(&["--cpus", "8..2"]).contains("write 2..8"));
    assert!(error(&["--cpus", "many"]).contains("a list or a range"));
    assert!(error(&["--tasks", "1"]).contains("at 60.0 % utilisation: 1 tasks cannot use 1.2 CPUs"));
    assert!(error(&["--csv", "-", "--json", "-"]).contains("give one of them a file"));
    assert!(error(&["--svg", "/no/such/folder/x.svg"]).contains("its folder does not exist"));
    assert!(error(&["--sets", "1000000", "--step", "0.1", "--from", "0.1", "--to", "100"]).contains("raise --step"));
    let crowded = ["--generator", "uunifast-discard", "--cpus", "32", "--tasks", "40", "--from", "90", "--sets", "1"];
    assert!(error(&crowded).contains("take fixed-sum"));
}

#[test]
fn help_has_examples_and_all_tests() {
    let help = text(&dis(&["sweep", "--help"]).stdout);
    for word in ["Examples:", "partitioned-bound", "gfb", "bcl", "rta", "uunifast-discard", "automotive"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
