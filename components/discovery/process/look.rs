//! What `/proc` tells of processes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use language_eval::Target;
use nix::unistd::{Uid, User};

use super::DiscoverConfig;

/// A command line may have megabytes; nobody reads more than this.
const MAX_TEXT: u64 = 64 << 10;

/// Processes as targets, by number.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub targets: Vec<Target>,
    /// How many must not be looked at, and why the first.
    pub left_out: Option<(usize, String)>,
}

pub(super) fn processes(proc: &Path, config: &DiscoverConfig) -> Result<Seen, String> {
    let failed = |error: io::Error| format!("cannot list {}: {error}", proc.display());
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(proc).map_err(failed)? {
        numbers.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    let mut seen = Seen::default();
    for number in numbers {
        match process(&proc.join(number.to_string()), number, config) {
            Ok(target) => seen.targets.push(target),
            Err(error) if is_gone(&error) => {}
            Err(error) => {
                let why = || (0, format!("process {number}: {error}"));
                seen.left_out.get_or_insert_with(why).0 += 1;
            }
        }
    }
    Ok(seen)
}

/// It has ended meanwhile, or is a thread of the kernel.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

fn process(folder: &Path, number: u32, config: &DiscoverConfig) -> io::Result<Target> {
    let mut labels = vec![("__process_pid__", number.to_string())];
    let link = |name: &str| Ok::<_, io::Error>(std::fs::read_link(folder.join(name))?.to_string_lossy().into_owned());
    if config.exe {
        labels.push(("__meta_process_exe", link("exe")?));
    }
    if config.cwd {
        labels.push(("__meta_process_cwd", link("cwd")?));
    }
    if config.commandline {
        let line = text(&folder.join("cmdline"))?;
        let words: Vec<&str> = line.split('\0').filter(|word| !word.is_empty()).collect();
        labels.push(("__meta_process_commandline", words.join(" ")));
    }
    if config.username || config.uid {
        let status = text(&folder.join("status"))?;
        let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok());
        if let Some(user) = user {
            if config.username {
                let known = User::from_uid(Uid::from_raw(user)).ok().flatten();
                labels.push(("__meta_process_username", known.map(|user| user.name).unwrap_or_default()));
            }
            if config.uid {
                labels.push(("__meta_process_uid", user.to_string()));
            }
        }
    }
    if config.container_id || config.cgroup_path {
        let groups = text(&folder.join("cgroup"))?;
        if config.container_id {
            labels.push(("__container_id__", groups.lines().find_map(container_id).unwrap_or_default().to_owned()));
        }
        if config.cgroup_path {
            labels.push(("__meta_process_cgroup_path", groups.lines().collect::<Vec<_>>().join("|")));
        }
    }
    Ok(labels.into_iter().filter(|(_, value)| !value.is_empty()).collect())
}

/// `0::/system.slice/docker-<64 hexadecimal digits>.scope` and its like. The last that a line has counts.
fn container_id(line: &str) -> Option<&str> {
    const LENGTH: usize = 64;
    let bytes = line.as_bytes();
    (1..=bytes.len().checked_sub(LENGTH)?).rev().find_map(|start| {
        let id = line.get(start..start + LENGTH)?;
        let after = &bytes[start + LENGTH..];
        let ends = after.first() == Some(&b'.') || after.iter().all(u8::is_ascii_whitespace);
        let begins = match bytes[start - 1] {
            b'/' => true,
            b'-' => bytes[..start - 1].contains(&b'/'),
            _ => false,
        };
        let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (ends && begins && is_id).then_some(id)
    })
}

fn text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_TEXT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "7edda1de1e0d1d366351e478359cf5fa16bb8ab53063a99bb119e56971bfb7e2";

    #[test]
    fn ids_of_containers() {
        for (line, found) in [
            (format!("12:pids:/docker/{ID}"), true),
            (format!("0::/system.slice/docker-{ID}.scope"), true),
            (format!("1:x:/kubepods/pod1/cri-containerd-{ID}.scope  "), true),
            (format!("0::/kubepods.slice/kubelet-{ID}.slice/crio-{ID}"), true),
            (format!("0::/docker/{ID}/init"), false),
            (format!("0::/docker/x{ID}"), false),
            (format!("0::/docker/{}", ID.to_uppercase()), false),
            (format!("0::/docker/{}", &ID[1..]), false),
            ("0::/init.scope".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(container_id(&line), found.then_some(ID), "{line}");
        }
    }

    #[test]
    fn processes_as_proc_tells_of_them() {
        let proc = tempfile::tempdir().expect("a temporary folder");
        let make = |number: &str, exe: bool| {
            let folder = proc.path().join(number);
            std::fs::create_dir(&folder).expect("a folder");
            if exe {
                std::os::unix::fs::symlink("/usr/bin/app", folder.join("exe")).expect("a link");
            }
            std::os::unix::fs::symlink("/srv", folder.join("cwd")).expect("a link");
            std::fs::write(folder.join("cmdline"), "app\0\0--flag\0a b\0").expect("a file");
            std::fs::write(folder.join("status"), "Name:\tapp\nUid:\t0\t1\t2\t3\n").expect("a file");
            std::fs::write(folder.join("cgroup"), format!("1:a:/x\n0::/docker/{ID}\n")).expect("a file");
        };
        make("100", true);
        make("9", true);
        make("2", false);
        make("self", true);
        let config = DiscoverConfig {
            exe: true,
            cwd: true,
            commandline: true,
            username: true,
            uid: true,
            container_id: true,
            cgroup_path: true,
        };
        let seen = processes(proc.path(), &config).expect("there is a folder");
        let numbers: Vec<_> = seen.targets.iter().filter_map(|target| target.get("__process_pid__")).collect();
        assert_eq!(numbers, ["9", "100"]);
        let paths = format!("1:a:/x|0::/docker/{ID}");
        let expected: Target = [
            ("__process_pid__", "9"),
            ("__meta_process_exe", "/usr/bin/app"),
            ("__meta_process_cwd", "/srv"),
            ("__meta_process_commandline", "app --flag a b"),
            ("__meta_process_username", "root"),
            ("__meta_process_uid", "0"),
            ("__meta_process_cgroup_path", &paths),
            ("__container_id__", ID),
        ]
        .into_iter()
        .collect();
        assert_eq!(seen.targets[0], expected);
        assert!(processes(&proc.path().join("nowhere"), &config).is_err());
    }
}
