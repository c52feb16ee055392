//! The counters of futures, and Prometheus's text: checked against the rules of the format (version 0.0.4).

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use dis_runtime::{Intent, Runtime, future, metrics};

/// Name, labels, value.
type Sample = (String, Vec<(String, String)>, f64);

/// Each family's type, and its samples, labels sorted.
type Families = BTreeMap<String, (String, Vec<Sample>)>;

/// Reads a text strictly: HELP, then TYPE, then samples, each family once, each series once.
fn read(text: &str) -> Families {
    assert!(text.ends_with('\n'));
    let mut families = Families::new();
    let mut series = HashSet::new();
    let (mut helped, mut current) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').expect("a name and a help").0.into();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, helped, "the help comes before the type");
            current = name.into();
            assert!(families.insert(current.clone(), (kind.into(), Vec::new())).is_none(), "{name} comes twice");
        } else {
            let (name, labels, value) = sample(line);
            let (kind, samples) = families.get_mut(&current).expect("samples come after their type");
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} is not of {current}"));
            match kind.as_str() {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, ""),
            }
            let mut sorted = labels;
            sorted.sort();
            assert!(series.insert((name.clone(), sorted.clone())), "{line} comes twice");
            samples.push((name, sorted, value));
        }
    }
    families
}

/// `name{label="value",…} number`, labels with escapes.
fn sample(line: &str) -> Sample {
    let name_ends = line.find(['{', ' ']).unwrap();
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let (name, mut rest) = line.split_at(name_ends);
    assert!(is_name(name) && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()));
    let mut labels = Vec::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        while !inner.starts_with('}') {
            inner = inner.strip_prefix(',').unwrap_or(inner);
            let (label, after) = inner.split_once("=\"").unwrap();
            assert!(is_name(label) && !label.contains(':') && !label.starts_with("__"));
            let (mut value, mut chars) = (String::new(), after.char_indices());
            inner = loop {
                match chars.next().expect("the value ends") {
                    (at, '"') => break &after[at + 1..],
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c} is no escape"),
                    }),
                    (_, c) => value.push(c),
                }
            };
            labels.push((label.into(), value));
        }
        rest = &inner[1..];
    }
    let number = rest.strip_prefix(' ').expect("a space before the value");
    (name.into(), labels, number.replace("Inf", "inf").parse().unwrap())
}

fn of<'a>(families: &'a Families, name: &str) -> &'a [Sample] {
    &families.get(name).unwrap_or_else(|| panic!("{name} is missing")).1
}

fn sum(families: &Families, name: &str) -> f64 {
    of(families, name).iter().map(|sample| sample.2).sum()
}

fn busy_runtime(measure: bool) -> Runtime {
    let rt = Runtime::builder().workers(2).measure_waits(measure).build().unwrap();
    let work = async {
        let yields = |intent| {
            future::spawn(intent, async {
                for _ in 0..100 {
                    future::yield_now().await;
                }
                future::sleep(Duration::from_millis(2)).await;
            })
        };
        let tasks: Vec<_> =
            [Intent::batch(), Intent::interactive(500), Intent::interactive(2_000)].map(yields).into_iter().collect();
        for task in tasks {
            task.unwrap().await.unwrap();
        }
    };
    rt.block_on(work);
    rt
}

#[test]
fn the_text_keeps_to_the_format_and_says_what_was_done() {
    let rt = busy_runtime(true);
    let begun = rt.prometheus();
    let families = read(&begun);
    for (name, (kind, samples)) in &families {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(name.starts_with("dis_"));
        let counts = kind == "counter" || kind == "histogram";
        assert!(!counts || samples.iter().all(|sample| sample.2 >= 0.0), "{name}");
    }
    // The last poll of each is counted after its end can be seen.
    assert!(sum(&families, "dis_polls_total") >= 3.0 * 101.0);
    assert_eq!(sum(&families, "dis_workers"), 2.0);
    assert_eq!(of(&families, "dis_polls_total").len(), 6, "three kinds of lanes on two workers");
    assert!(
        of(&families, "dis_polls_total").iter().any(|sample| sample.1.contains(&("target_us".into(), "500".into())))
    );
    // Each histogram: buckets ascend in bounds and counts, the last is +Inf and agrees with the count.
    let waits = of(&families, "dis_future_wait_seconds");
    for class in waits.iter().filter(|sample| sample.0.ends_with("_count")) {
        let buckets: Vec<(f64, f64)> = waits
            .iter()
            .filter(|sample| sample.0.ends_with("_bucket"))
            .filter_map(|sample| {
                let mut labels = sample.1.clone();
                let le = labels.iter().position(|label| label.0 == "le")?;
                let bound = labels.remove(le).1.replace("Inf", "inf").parse().unwrap();
                (labels == class.1).then_some((bound, sample.2))
            })
            .collect();
        assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, class.2)));
        assert!(class.2 >= 102.0);
    }
    // Counters never fall.
    rt.block_on(async { future::spawn(Intent::batch(), async {}).unwrap().await.unwrap() });
    let later = read(&rt.prometheus());
    for (name, (_, samples)) in families.iter().filter(|(_, family)| family.0 == "counter") {
        for (before, after) in samples.iter().zip(of(&later, name)) {
            assert!(before.1 == after.1 && before.2 <= after.2, "{name} fell");
        }
    }
}

#[test]
fn a_task_asks_for_its_own_runtime_and_adds_to_the_text() {
    let rt = busy_runtime(false);
    assert!(metrics::here().is_none());
    let text = rt.spawn(Intent::interactive(1_000), async {
        let mut text = metrics::here().unwrap();
        text.counter("requests_total", "Requests.").sample(&[("path", "a\"b\\c\n")], 7);
        text.finish()
    });
    let families = read(&text.unwrap().join().unwrap());
    assert_eq!(of(&families, "requests_total")[0].1, [("path".into(), "a\"b\\c\n".into())]);
    assert!(!families.contains_key("dis_future_wait_seconds"), "waits are not measured here");
}

/// What tokio-console shows of a task: polls, and for how long it was busy, scheduled (ready, but not polled), idle.
#[test]
fn a_futures_time_is_divided() {
    let rt = Runtime::builder().workers(1).measure_waits(true).build().unwrap();
    let compute = |ms| {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(ms) {
            std::hint::spin_loop();
        }
    };
    let started = Instant::now();
    let task = rt.spawn(Intent::batch(), async move {
        future::sleep(Duration::from_millis(30)).await;
        // Ready at once, but the other one goes first and computes.
        drop(future::spawn(Intent::batch(), async move { compute(3) }).unwrap());
        future::yield_now().await;
        future::yield_now().await;
        compute(2);
        future::sleep(Duration::from_secs(3600)).await;
    });
    let id = task.unwrap().id();
    let stats = loop {
        let stats = rt.future_stats().into_iter().find(|stats| stats.id == id).unwrap();
        if stats.polls == 4 {
            break stats;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let times = stats.times.unwrap();
    let ms = Duration::from_millis;
    assert!(times.total <= started.elapsed() && times.idle >= ms(30), "{stats:?}");
    assert!(stats.busy >= ms(1) && stats.longest >= ms(1) && times.scheduled >= ms(2), "{stats:?}");
    let all = stats.busy + times.scheduled + times.idle;
    assert!(all <= times.total + ms(1) && times.total <= all + ms(1), "{stats:?}");
    let waits = rt.lane_stats()[0].waits.unwrap();
    assert!(waits.total >= ms(2) && waits.buckets.iter().sum::<u64>() + waits.beyond >= 5);
    assert!(busy_runtime(false).lane_stats()[0].waits.is_none());
}
