//! Real samples of a real runtime, drawn on a screen that can be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dis_control::Client;
use dis_control::protocol::{Class, Command};
use dis_runtime::{Intent, Runtime, checkpoint, sleep};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::app::{Act, App};
use super::super::sample;
use super::draw;

fn screen(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    terminal.backend().to_string()
}

fn press(app: &mut App, keys: &str) -> Act {
    let code = |c| match c {
        '\n' => KeyCode::Enter,
        '\x1b' => KeyCode::Esc,
        'v' => KeyCode::Down,
        '^' => KeyCode::Up,
        c => KeyCode::Char(c),
    };
    let mut act = Act::Nothing;
    for c in keys.chars() {
        act = app.key(KeyEvent::new(code(c), KeyModifiers::NONE));
    }
    act
}

#[test]
fn a_runtime_is_seen_and_its_tasks_are_chosen_and_changed() {
    let path = std::env::temp_dir().join(format!("dis-top-{}.sock", std::process::id()));
    let rt = Runtime::builder().workers(1).control_socket(&path).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (seen, other) = (Arc::clone(&stop), Arc::clone(&stop));
    let hog = rt.task(Intent::batch()).name("hog").spawn(move || {
        while !seen.load(Ordering::Relaxed) {
            checkpoint()
        }
    });
    let ui = rt.task(Intent::interactive(2_000)).name("clicker").spawn(move || {
        while !other.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(1));
        }
    });
    let (hog, ui) = (hog.unwrap(), ui.unwrap());
    let mut client = Client::connect(&path).unwrap();
    let mut app = App::new(sample(&mut client).unwrap());
    let until = Instant::now() + Duration::from_secs(30);
    let text = loop {
        std::thread::sleep(Duration::from_millis(100));
        app.look(sample(&mut client).unwrap());
        let text = screen(&mut app, 150, 30);
        let latency = app.now.tasks.iter().find(|task| task.name == "clicker").unwrap().latency;
        if latency.is_some_and(|latency| latency.count > 10) && app.rates.cpus[0].load > 0.5 {
            break text;
        }
        assert!(Instant::now() < until, "{text}");
    };
    let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
    assert!(line("tasks").contains("2 tasks  2 created  0 missed"), "{text}");
    assert!(line("CPU 0").contains("████") || line("CPU ").contains('█'), "{text}");
    assert!(line("decisions/s").contains("class order"), "{text}");
    // A task's row begins with its name; the line of the CPU that it runs on has it, too.
    let row = |name: &str| text.find(&format!("\n\"{name} ")).unwrap_or_else(|| panic!("{name}\n{text}")) + 1;
    let clicker = text[row("clicker")..].lines().next().unwrap();
    assert!(clicker.contains("interactive") && clicker.contains("s  "), "{text}");
    assert!(row("hog") < row("clicker"), "sorted by CPU time\n{text}");

    // The keys.
    assert_eq!(press(&mut app, "k"), Act::Nothing);
    assert!(screen(&mut app, 150, 30).contains("choose a task with the arrow keys first"));
    press(&mut app, "ssss");
    assert!(screen(&mut app, 150, 30).contains("by name"));
    press(&mut app, "/hog\n");
    assert!(!screen(&mut app, 150, 30).lines().skip(8).any(|line| line.contains("clicker")));
    assert_eq!(press(&mut app, "vilazy\n"), Act::Nothing);
    assert!(screen(&mut app, 150, 30).contains("`lazy` is no class"));
    press(&mut app, "\x1b");
    assert_eq!(
        press(&mut app, "ibackground\n"),
        Act::Ask(Command::Intent { task: hog.id().0, class: Class::Background })
    );
    press(&mut app, "k");
    assert!(screen(&mut app, 150, 30).contains(&format!("end hog ({})? y/n", hog.id().0)));
    assert_eq!(press(&mut app, "n"), Act::Nothing, "not without a yes");
    assert_eq!(press(&mut app, "ky"), Act::Ask(Command::Kill { task: hog.id().0 }));
    assert_eq!(press(&mut app, "q"), Act::Quit);
    // A small window cuts, and harms nobody.
    for (width, height) in [(1, 1), (20, 3), (40, 12), (300, 100)] {
        screen(&mut app, width, height);
    }
    stop.store(true, Ordering::Relaxed);
    hog.join().unwrap();
    ui.join().unwrap();
}
