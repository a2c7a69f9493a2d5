use std::path::Path;

use language_eval::Scope;
use sdk_testing::component::Alone;

use super::*;

/// A host made of files.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Host {
        let host = Host(tempfile::tempdir().expect("a temporary folder"));
        std::fs::write(host.0.path().join("stat"), "cpu 1 2 3\nbtime 1700000000\n").expect("a file");
        host
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A process as the kernel tells of it, which has used `used` ticks and bytes of everything.
    fn process(&self, number: u32, parent: u32, comm: &str, cmdline: &str, start: u64, used: u64) {
        let folder = self.path().join(number.to_string());
        write(&folder, comm, parent, start, used);
        std::fs::write(folder.join("cmdline"), cmdline).expect("a file");
        std::fs::write(folder.join("cgroup"), "0::/a.slice\n").expect("a file");
        std::fs::write(folder.join("limits"), "Limit  Soft Limit  Hard Limit  Units\nMax open files  10  20  files\n")
            .expect("a file");
        std::fs::write(folder.join("smaps_rollup"), "x\nPss: 3 kB\nSwapPss: 1 kB\n").expect("a file");
        std::fs::create_dir_all(folder.join("fd")).expect("a folder");
        std::fs::write(folder.join("fd/0"), "").expect("a file");
        std::fs::write(folder.join("fd/1"), "").expect("a file");
        self.thread(number, number, comm, start, used);
    }

    fn thread(&self, process: u32, number: u32, comm: &str, start: u64, used: u64) {
        write(&self.path().join(format!("{process}/task/{number}")), comm, process, start, used);
    }

    fn gone(&self, number: u32) {
        std::fs::remove_dir_all(self.path().join(number.to_string())).expect("it is there");
    }

    fn exporter(&self, more: &str) -> Exporter {
        let config = format!(
            "procfs_path = {:?}\nmatcher {{\n\tcomm = [\"web\"]\n}}\nmatcher {{\n\tname = \"jobs\"\n\tcmdline = [\"job\"]\n}}\n{more}",
            self.path().display().to_string()
        );
        let arguments = sdk_testing::component::decode(&config, &Scope::new()).expect("good arguments");
        let mut exporter = Exporter::new(arguments).expect("there is a host");
        exporter.look();
        exporter
    }
}

fn write(folder: &Path, comm: &str, parent: u32, start: u64, used: u64) {
    std::fs::create_dir_all(folder).expect("a folder");
    let stat =
        format!("7 ({comm}) S {parent} 1 1 0 -1 0 {used} 0 {used} 0 {used} {used} 0 0 20 0 2 0 {start} 4096 3 0 0\n");
    std::fs::write(folder.join("stat"), stat).expect("a file");
    let status = format!(
        "Name:\t{comm}\nUid:\t0\t0\t0\t0\nVmSwap:\t2 kB\nvoluntary_ctxt_switches:\t{used}\nnonvoluntary_ctxt_switches:\t{used}\n"
    );
    std::fs::write(folder.join("status"), status).expect("a file");
    std::fs::write(folder.join("io"), format!("rchar: 1\nread_bytes: {used}\nwrite_bytes: {used}\n")).expect("a file");
    std::fs::write(folder.join("wchan"), "do_wait").expect("a file");
}

/// The samples of families whose names end so, without the common beginning.
fn samples(page: &str, names: &[&str]) -> Vec<String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("namedprocess_namegroup_"));
    let named = |line: &&str| names.iter().any(|name| line.split(['{', ' ']).next() == Some(name));
    lines.filter(named).map(str::to_owned).collect()
}

#[test]
fn groups_hold_what_matches_and_its_children() {
    let host = Host::new();
    host.process(1, 0, "init", "/sbin/init\0", 1, 5);
    host.process(10, 1, "web", "/usr/bin/web\0-v\0", 100, 50);
    host.process(11, 10, "helper", "helper\0", 200, 20);
    host.process(12, 11, "a job", "run\0job\0", 300, 30);
    let mut exporter = host.exporter("");
    let page = exporter.scrape();
    assert_eq!(
        samples(&page, &["num_procs", "num_threads", "open_filedesc", "worst_fd_ratio", "oldest_start_time_seconds"]),
        [
            "num_procs{groupname=\"jobs\"} 1",
            "num_procs{groupname=\"web\"} 2",
            "num_threads{groupname=\"jobs\"} 2",
            "num_threads{groupname=\"web\"} 4",
            "oldest_start_time_seconds{groupname=\"jobs\"} 1.700000003e+09",
            "oldest_start_time_seconds{groupname=\"web\"} 1.700000001e+09",
            "open_filedesc{groupname=\"jobs\"} 2",
            "open_filedesc{groupname=\"web\"} 4",
            "worst_fd_ratio{groupname=\"jobs\"} 0.2",
            "worst_fd_ratio{groupname=\"web\"} 0.2",
        ]
    );
    let memory = samples(&page, &["memory_bytes"]);
    assert!(
        memory.contains(&"memory_bytes{groupname=\"web\",memtype=\"proportionalResident\"} 6144".to_owned()),
        "{memory:?}"
    );
    assert!(memory.contains(&"memory_bytes{groupname=\"jobs\",memtype=\"swapped\"} 2048".to_owned()), "{memory:?}");
    let alone = host.exporter("track_children = false\ngather_smaps = false").scrape();
    assert_eq!(samples(&alone, &["num_procs"])[1], "num_procs{groupname=\"web\"} 1");
    assert!(!alone.contains("proportional"), "{alone}");
}

#[test]
fn counters_begin_with_the_exporter_and_outlive_processes() {
    let host = Host::new();
    host.process(10, 1, "web", "web\0", 100, 50);
    let mut exporter = host.exporter("");
    let cpu = |page: &str| samples(page, &["cpu_seconds_total"])[1].clone();
    assert_eq!(cpu(&exporter.scrape()), "cpu_seconds_total{groupname=\"web\",mode=\"user\"} 0");
    host.process(10, 1, "web", "web\0", 100, 75);
    assert_eq!(cpu(&exporter.scrape()), "cpu_seconds_total{groupname=\"web\",mode=\"user\"} 0.25");
    // One that is new has used everything since the last look.
    host.process(13, 1, "web", "web\0", 400, 100);
    assert_eq!(cpu(&exporter.scrape()), "cpu_seconds_total{groupname=\"web\",mode=\"user\"} 1.25");
    host.gone(10);
    host.gone(13);
    let page = exporter.scrape();
    assert_eq!(cpu(&page), "cpu_seconds_total{groupname=\"web\",mode=\"user\"} 1.25");
    assert_eq!(
        samples(&page, &["num_procs", "oldest_start_time_seconds"]),
        ["num_procs{groupname=\"web\"} 0", "oldest_start_time_seconds{groupname=\"web\"} -6.21355968e+10"]
    );
    // The same number with another start is another process.
    host.process(10, 1, "other", "other\0", 500, 0);
    assert_eq!(samples(&exporter.scrape(), &["num_procs"]), ["num_procs{groupname=\"web\"} 0"]);
}

#[test]
fn empty_groups_can_be_forgotten_and_names_looked_at_again() {
    let host = Host::new();
    host.process(10, 1, "new", "new\0", 100, 0);
    let (mut kept, mut rechecked) = (
        host.exporter("remove_empty_groups = true"),
        host.exporter("remove_empty_groups = true\nrecheck_on_scrape = true"),
    );
    host.process(10, 1, "web", "web\0", 100, 0);
    assert_eq!(samples(&kept.scrape(), &["num_procs"]), Vec::<String>::new());
    assert_eq!(samples(&rechecked.scrape(), &["num_procs"]), ["num_procs{groupname=\"web\"} 1"]);
    host.gone(10);
    assert_eq!(samples(&rechecked.scrape(), &["num_procs"]), Vec::<String>::new());
}

#[test]
fn threads_are_counted_by_name() {
    let host = Host::new();
    host.process(10, 1, "web", "web\0", 100, 0);
    host.thread(10, 20, "worker", 110, 0);
    host.thread(10, 21, "worker", 120, 0);
    let mut exporter = host.exporter("");
    host.thread(10, 20, "worker", 110, 100);
    let page = exporter.scrape();
    let threads = samples(
        &page,
        &["thread_count", "thread_cpu_seconds_total", "thread_io_bytes_total", "threads_wchan", "states"],
    );
    for expected in [
        "thread_count{groupname=\"web\",threadname=\"web\"} 1",
        "thread_count{groupname=\"web\",threadname=\"worker\"} 2",
        "thread_cpu_seconds_total{groupname=\"web\",mode=\"user\",threadname=\"worker\"} 1",
        "thread_io_bytes_total{groupname=\"web\",iomode=\"read\",threadname=\"worker\"} 100",
        "threads_wchan{groupname=\"web\",wchan=\"do_wait\"} 4",
        "states{groupname=\"web\",state=\"Sleeping\"} 4",
    ] {
        assert!(threads.contains(&expected.to_owned()), "{expected}: {threads:?}");
    }
    assert!(!host.exporter("track_threads = false").scrape().contains("thread_count"));
}

#[test]
fn what_cannot_be_read_is_counted() {
    let host = Host::new();
    host.process(10, 1, "web", "web\0", 100, 0);
    host.process(11, 1, "web", "web\0", 100, 0);
    std::fs::remove_file(host.path().join("10/io")).expect("it is there");
    std::fs::write(host.path().join("11/limits"), "").expect("a file");
    let mut exporter = host.exporter("");
    let page = exporter.scrape();
    assert!(page.contains("namedprocess_scrape_partial_errors 2\n"), "{page}");
    assert!(page.contains("namedprocess_scrape_procread_errors 2\n"), "{page}");
    assert_eq!(samples(&page, &["num_procs"]), ["num_procs{groupname=\"web\"} 1"]);
    std::fs::rename(host.path(), host.path().with_extension("away")).expect("a rename");
    let page = exporter.scrape();
    std::fs::rename(host.path().with_extension("away"), host.path()).expect("a rename");
    assert!(page.contains("namedprocess_scrape_errors 1\n"), "{page}");
    assert!(!page.contains("num_procs"), "{page}");
    assert_eq!(samples(&exporter.scrape(), &["num_procs"]), ["num_procs{groupname=\"web\"} 1"]);
}

#[tokio::test]
async fn this_host_is_served_and_what_cannot_work_is_refused() {
    let alone = Alone::<Process>::start("matcher {\n\tname = \"own\"\n\tcmdline = [\".\"]\n}", &Scope::new())
        .expect("it starts");
    let handler = alone.component.http().expect("an exporter has a page");
    let ask = |path: &str| http::Request::get(path).body(bytes::Bytes::new()).expect("a request");
    let answer = handler(ask("/metrics")).await;
    let page = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(page.contains("namedprocess_namegroup_num_procs{groupname=\"own\"}"), "{page}");
    assert!(page.contains("process_exporter_build_info{"), "{page}");
    assert_eq!(handler(ask("/other")).await.status(), http::StatusCode::NOT_FOUND);
    let refused = |config: &str| Alone::<Process>::build(config, &Scope::new()).err().unwrap_or_default();
    assert!(refused("matcher { }").contains("no matchers provided"));
    assert!(refused("procfs_path = \"/nowhere\"").contains("cannot read /nowhere"));
    assert!(refused("matcher {\n\tcmdline = [\"(\"]\n}").contains("bad cmdline regex"));
}
