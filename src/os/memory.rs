//! How much memory this process may use: that of the machine, or the least limit of the control
//! groups of Linux that it is in.
//!
//! A page that a file was read into counts against the limit, so it bounds the page cache as well.
//! Any thread.

/// Where control groups are mounted by custom, of version 2 and of version 1.
const GROUPS: &str = "/sys/fs/cgroup";
const OLD_GROUPS: &str = "/sys/fs/cgroup/memory";

/// The least limit of the control groups, in bytes; `u64::MAX` if there is none, or none is known.
/// `read` gives the content of a file.
pub(super) fn limit(read: impl Fn(&str) -> Option<String>) -> u64 {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        match rest.split_once(':')? {
            ("", path) => Some(new_limit(&read, path)),
            (names, path) if names.split(',').any(|name| name == "memory") => {
                Some(old_limit(&read, path))
            }
            _ => None,
        }
    });
    limits.min().unwrap_or(u64::MAX)
}

/// Version 2: each group on the way up may have a limit. Where the path is not visible, as in a
/// container, the mount is the group.
fn new_limit(read: &impl Fn(&str) -> Option<String>, path: &str) -> u64 {
    let mut least = u64::MAX;
    let mut path = path.trim_end_matches('/');
    loop {
        let text = read(&format!("{GROUPS}{path}/memory.max")).unwrap_or_default();
        least = least.min(text.trim().parse().unwrap_or(u64::MAX));
        match path.rsplit_once('/') {
            Some((above, _)) => path = above,
            None => return least,
        }
    }
}

/// Version 1 tells the least limit itself.
fn old_limit(read: &impl Fn(&str) -> Option<String>, path: &str) -> u64 {
    let of = |path: &str| {
        let text = read(&format!("{OLD_GROUPS}{path}/memory.stat"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("hierarchical_memory_limit "))?;
        line.trim().parse().ok()
    };
    of(path.trim_end_matches('/')).or_else(|| of("")).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::limit;

    fn among(files: &'static [(&'static str, &'static str)]) -> u64 {
        limit(|name| {
            files.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn without_a_group_or_a_limit_there_is_none() {
        assert_eq!(among(&[]), u64::MAX);
        assert_eq!(among(&[("/proc/self/cgroup", "0::/\n")]), u64::MAX);
        let open = [("/proc/self/cgroup", "0::/a\n"), ("/sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(among(Box::leak(Box::new(open))), u64::MAX);
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let groups = among(&[
            ("/proc/self/cgroup", "0::/a/b\n"),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "4096\n"),
            ("/sys/fs/cgroup/memory.max", "8192\n"),
        ]);
        let container = among(&[
            ("/proc/self/cgroup", "0::/not/visible\n"),
            ("/sys/fs/cgroup/memory.max", "8192\n"),
        ]);

        assert_eq!((groups, container), (4096, 8192));
    }

    #[test]
    fn old_groups_tell_their_least_limit() {
        let old = "cache 1\nhierarchical_memory_limit 12288\ntotal_cache 1\n";
        let groups = among(Box::leak(Box::new([
            ("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/a\n0::/\n"),
            ("/sys/fs/cgroup/memory/a/memory.stat", old),
        ])));
        let container = among(Box::leak(Box::new([
            ("/proc/self/cgroup", "4:memory:/not/visible\n"),
            ("/sys/fs/cgroup/memory/memory.stat", old),
        ])));

        assert_eq!((groups, container), (12288, 12288));
    }
}
