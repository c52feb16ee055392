//! The disk bandwidth of the whole process, by the control group that it is in: `io.max` of cgroup v2, which Linux enforces whoever
//! moves the bytes (`Documentation/admin-guide/cgroup-v2.rst`, IO Interface Files). It has to be delegated to the process's user.

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dis_core::api::{SchedError, SchedResult};

/// A limit on the process's control group; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the limit ends when this is dropped"]
pub struct ProcessLimit {
    /// `io.max` of the group.
    file: PathBuf,
    /// As `major:minor`.
    disk: String,
}

/// Limits what this process, and whoever else is in its control group, reads from and writes to a disk: bytes a second for each
/// direction. The disk is the one that `on`, a file or folder, lies on. Tasks cannot be told apart by this; for them there
/// is [`Limited`](super::io::Limited).
///
/// # Errors
/// [`SchedError::NotSupported`] with the reason: no cgroup v2, the process is in its root group, `io` not enabled there, not delegated to the
/// user, or `on` does not lie on a disk.
pub fn limit_process(on: &Path, bytes_per_second: NonZeroU64) -> SchedResult<ProcessLimit> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let group = group(&read("/proc/self/cgroup"), &read("/proc/self/mounts"))?;
    let device = fs::metadata(on).map_err(|_| SchedError::NotSupported("io.max: the file is not there"))?.dev();
    let disk = disk(Path::new("/sys/dev/block"), libc::major(device), libc::minor(device))?;
    ProcessLimit::new(&group, disk, bytes_per_second)
}

impl ProcessLimit {
    fn new(group: &Path, disk: String, rate: NonZeroU64) -> SchedResult<ProcessLimit> {
        let file = group.join("io.max");
        if !file.exists() {
            return Err(SchedError::NotSupported(
                "io.max: the process's control group has no such file: it is the root group, or `io` is not in its parent's \
                 cgroup.subtree_control (systemd-run --user --scope -p Delegate=yes gives a process a group of its own)",
            ));
        }
        let limit = ProcessLimit { file, disk };
        match fs::write(&limit.file, format!("{} rbps={rate} wbps={rate}\n", limit.disk)) {
            Ok(()) => Ok(limit),
            // Nothing was limited, so nothing is to be taken back; doing so fails as well.
            Err(_) => Err(SchedError::NotSupported(
                "io.max: the process's control group is not delegated to this user, or the disk has no such limit",
            )),
        }
    }
}

impl Drop for ProcessLimit {
    fn drop(&mut self) {
        let _ = fs::write(&self.file, format!("{} rbps=max wbps=max\n", self.disk));
    }
}

/// The folder of the process's group, by the texts of `/proc/self/cgroup` and `/proc/self/mounts`.
fn group(own: &str, mounts: &str) -> SchedResult<PathBuf> {
    let none = SchedError::NotSupported("io.max: this machine has no cgroup v2 mounted");
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or(none)?;
    let mount = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (folder, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then_some(folder)
    });
    Ok(Path::new(mount.ok_or(none)?).join(path))
}

/// The whole disk, which is what `io.max` takes, that a device is or is a part of.
fn disk(devices: &Path, major: u32, minor: u32) -> SchedResult<String> {
    let none = SchedError::NotSupported("io.max: the file does not lie on a disk (tmpfs, overlay, a network)");
    let device = devices.join(format!("{major}:{minor}"));
    // The entry is a link into the tree of devices, in which parts lie below their disk.
    let place = fs::canonicalize(device).map_err(|_| none)?;
    let whole = if place.join("partition").exists() { place.parent().unwrap_or(&place) } else { &place };
    let number = fs::read_to_string(whole.join("dev")).map_err(|_| none)?;
    Ok(number.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn rate(rate: u64) -> NonZeroU64 {
        NonZeroU64::new(rate).unwrap()
    }

    #[test]
    fn the_group_is_found_where_version_2_is_mounted() {
        let mounts = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let own = "5:blkio:/elsewhere\n0::/user.slice/a.scope\n";
        assert_eq!(group(own, mounts).unwrap(), Path::new("/sys/fs/cgroup/unified/user.slice/a.scope"));
        for (own, mounts) in [("5:blkio:/\n", mounts), (own, "proc /proc proc rw 0 0\n")] {
            assert!(matches!(group(own, mounts), Err(SchedError::NotSupported(why)) if why.contains("no cgroup v2")));
        }
    }

    #[test]
    fn a_partition_is_limited_by_its_disk() {
        let root = Scratch::new();
        fs::create_dir_all(root.join("vda/vda1")).unwrap();
        fs::write(root.join("vda/dev"), "254:0\n").unwrap();
        fs::write(root.join("vda/vda1/dev"), "254:1\n").unwrap();
        fs::write(root.join("vda/vda1/partition"), "1\n").unwrap();
        for (number, place) in [("254:0", "vda"), ("254:1", "vda/vda1")] {
            std::os::unix::fs::symlink(root.join(place), root.join(number)).unwrap();
        }
        assert_eq!(disk(&root, 254, 0).unwrap(), "254:0");
        assert_eq!(disk(&root, 254, 1).unwrap(), "254:0");
        assert!(matches!(disk(&root, 0, 40), Err(SchedError::NotSupported(why)) if why.contains("not lie on a disk")));
    }

    #[test]
    fn the_limit_is_written_and_taken_back() {
        let root = Scratch::new();
        let why = ProcessLimit::new(&root, "254:0".into(), rate(1)).unwrap_err();
        assert!(matches!(why, SchedError::NotSupported(why) if why.contains("subtree_control")));
        let file = root.join("io.max");
        fs::write(&file, "").unwrap();
        let limit = ProcessLimit::new(&root, "254:0".into(), rate(5_000_000)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "254:0 rbps=5000000 wbps=5000000\n");
        drop(limit);
        assert_eq!(fs::read_to_string(&file).unwrap(), "254:0 rbps=max wbps=max\n");
    }

    /// On the machine itself: it is limited, or told why not.
    #[test]
    fn this_machine_limits_or_says_why_not() {
        match limit_process(Path::new("/"), rate(1 << 40)) {
            Ok(limit) => assert!(fs::read_to_string(&limit.file).unwrap().contains("rbps=1099511627776")),
            Err(SchedError::NotSupported(why)) => assert!(why.starts_with("io.max: "), "{why}"),
            Err(other) => panic!("{other}"),
        }
    }
}
