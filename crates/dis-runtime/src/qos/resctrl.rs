//! Limits of memory bandwidth by the processor itself, where it has them (Intel MBA, AMD QoS) and Linux offers them: the file system
//! `resctrl`, mounted with `mba_MBps`, which makes the kernel hold a group of threads to megabytes a second
//! (`Documentation/filesystems/resctrl.rst`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where it is mounted by convention.
pub(crate) const ROOT: &str = "/sys/fs/resctrl";

/// A group of threads, of which there is one at most: the task's.
#[derive(Debug)]
pub(crate) struct Group {
    root: PathBuf,
    folder: PathBuf,
}

impl Group {
    /// `rate`: MB/s, for each memory controller.
    pub(crate) fn new(root: &Path, rate: Option<u32>) -> Result<Option<Group>, &'static str> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(rate) = rate else { return Ok(None) };
        let schemata = fs::read_to_string(root.join("schemata")).map_err(|_| {
            "mem_bandwidth: no resctrl file system at /sys/fs/resctrl: the processor cannot limit it, or nobody has mounted it \
             (mount -t resctrl resctrl -o mba_MBps /sys/fs/resctrl)"
        })?;
        let line = schemata.lines().find_map(|line| line.trim().strip_prefix("MB:"));
        let line =
            line.ok_or("mem_bandwidth: the processor's resctrl has no control of memory bandwidth (no MB line)")?;
        // In percent, as it is mounted without `mba_MBps`, no value exceeds 100; the kernel's default in MB/s is 2^32 - 1.
        if line
            .split(';')
            .filter_map(|part| part.split_once('=')?.1.trim().parse::<u64>().ok())
            .all(|value| value <= 100)
        {
            return Err("mem_bandwidth: resctrl is mounted in percent; mount it with -o mba_MBps");
        }
        let all: Vec<String> =
            line.split(';').filter_map(|part| Some(format!("{}={rate}", part.split_once('=')?.0.trim()))).collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("dis-{}-{number}", std::process::id()));
        fs::create_dir(&folder).map_err(
            |_| "mem_bandwidth: no group left in resctrl, or no right to make one (the processor has 4 to 16)",
        )?;
        let group = Group { root: root.into(), folder };
        fs::write(group.folder.join("schemata"), format!("MB:{}\n", all.join(";")))
            .map_err(|_| "mem_bandwidth: resctrl does not accept this rate")?;
        Ok(Some(group))
    }

    /// The calling thread belongs to it from now on.
    pub(crate) fn enter(&self) {
        move_to(&self.folder);
    }

    /// It no longer does.
    pub(crate) fn leave(&self) {
        move_to(&self.root);
    }
}

/// Cannot fail where the group could be made, but for a thread that has gone.
fn move_to(group: &Path) {
    let _ = fs::write(group.join("tasks"), format!("{}\n", crate::sys::gettid()));
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel's files in it go with it; an ordinary folder keeps what is in it.
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qos::Limits;
    use crate::scratch::Scratch;

    fn tree(schemata: Option<&str>) -> Scratch {
        let root = Scratch::new();
        if let Some(schemata) = schemata {
            fs::write(root.join("schemata"), schemata).unwrap();
        }
        root
    }

    #[test]
    fn a_group_has_the_rate_on_each_controller_and_the_thread() {
        let root = tree(Some("    L3:0=fff;1=fff\n    MB:0=4294967295;1=4294967295\n"));
        let group = Group::new(&root, Some(1_500)).unwrap().unwrap();
        assert_eq!(fs::read_to_string(group.folder.join("schemata")).unwrap(), "MB:0=1500;1=1500\n");
        let tid = format!("{}\n", crate::sys::gettid());
        group.enter();
        assert_eq!(fs::read_to_string(group.folder.join("tasks")).unwrap(), tid);
        group.leave();
        assert_eq!(fs::read_to_string(root.join("tasks")).unwrap(), tid);
    }

    #[test]
    fn a_task_is_in_its_group_from_its_beginning_to_its_end() {
        let root = tree(Some("MB:0=4294967295\n"));
        let group = Group::new(&root, Some(10)).unwrap().unwrap();
        let (within, without) = (group.folder.join("tasks"), root.join("tasks"));
        let limits = Limits { mem_bandwidth: Some(group), ..Limits::default() };
        assert!(limits.need_thread(), "a group has threads, not tasks");
        let tid = format!("{}\n", crate::sys::gettid());
        let begun = limits.begin();
        assert_eq!(fs::read_to_string(within).unwrap(), tid);
        assert!(!without.exists());
        drop(begun);
        assert_eq!(fs::read_to_string(without).unwrap(), tid);
    }

    #[test]
    fn a_machine_that_cannot_says_so() {
        for (schemata, words) in
            [(None, "mount -t resctrl"), (Some("L3:0=fff\n"), "no MB line"), (Some("MB:0=100;1=90\n"), "mba_MBps")]
        {
            let root = tree(schemata);
            let why = Group::new(&root, Some(10)).unwrap_err();
            assert!(why.starts_with("mem_bandwidth: ") && why.contains(words), "{why}");
        }
    }
}
