use std::path::{Path, PathBuf};

use language_eval::Scope;
use sdk_testing::component::Alone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;

mod engines;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A machine made of files.
struct Machine(tempfile::TempDir);

impl Machine {
    /// With cgroups of the second version.
    fn v2() -> Machine {
        let machine = Machine(tempfile::tempdir().expect("a temporary folder"));
        let root = machine.cgroups().display().to_string();
        machine.write("proc/self/mountinfo", &format!("1 0 0:5 / {root} rw - cgroup2 cgroup2 rw\n"));
        machine.write("proc/meminfo", "MemTotal: 1000 kB\nSwapTotal: 50 kB\nSwapFree: 20 kB\n");
        machine.write("cgroup/cpu.stat", "usage_usec 9000000\nuser_usec 5000000\nsystem_usec 4000000\n");
        machine.write("cgroup/memory.stat", "anon 100\nfile 200\ninactive_file 50\n");
        let at = format!("cgroup/system.slice/docker-{ID}.scope");
        machine.write(
            &format!("{at}/cpu.stat"),
            "usage_usec 1500000\nuser_usec 1\nnr_periods 7\nthrottled_usec 2000000\n",
        );
        machine.write(&format!("{at}/cpu.max"), "50000 100000\n");
        machine.write(&format!("{at}/cpu.weight"), "100\n");
        machine.write(&format!("{at}/memory.current"), "4096\n");
        machine.write(&format!("{at}/memory.peak"), "8192\n");
        machine.write(&format!("{at}/memory.max"), "max\n");
        machine.write(&format!("{at}/memory.swap.max"), "1024\n");
        machine.write(&format!("{at}/memory.swap.current"), "512\n");
        machine.write(&format!("{at}/memory.stat"), "anon 10\nfile 20\nfile_mapped 5\ninactive_file 96\npgfault 3\n");
        machine.write(&format!("{at}/memory.events.local"), "low 0\noom_kill 2\n");
        machine.write(&format!("{at}/io.stat"), "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0\n");
        machine.write(&format!("{at}/cpu.pressure"), "some avg10=0.00 total=3000000\nfull avg10=0.00 total=1000000\n");
        machine.write(&format!("{at}/pids.current"), "3\n");
        machine.write("cgroup/system.slice/boot.mount/cpu.stat", "usage_usec 1\n");
        machine.write("sys/block/sda/dev", "8:0\n");
        machine.write("proc/7/net/dev", "a\nb\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
        machine
    }

    /// With cgroups of the first version, two controllers of which share a tree.
    fn v1() -> Machine {
        let machine = Machine(tempfile::tempdir().expect("a temporary folder"));
        let at = |name: &str| machine.cgroups().join(name).display().to_string();
        machine.write(
            "proc/self/mountinfo",
            &format!(
                "1 0 0:5 / {} rw - cgroup cgroup rw,cpu,cpuacct\n2 0 0:6 / {} rw - cgroup cgroup rw,memory\n\
                 3 0 0:7 / {} rw - cgroup cgroup rw,blkio\n4 0 0:8 / {} rw - cgroup cgroup rw,name=systemd\n",
                at("cpu"),
                at("memory"),
                at("blkio"),
                at("systemd"),
            ),
        );
        for name in ["", &format!("/docker/{ID}")] {
            machine.write(&format!("cgroup/cpu{name}/cpuacct.usage_percpu"), "1500000000 0 2500000000\n");
            machine.write(&format!("cgroup/cpu{name}/cpuacct.stat"), "user 250\nsystem 50\n");
            machine.write(&format!("cgroup/cpu{name}/cpu.shares"), "1024\n");
            machine.write(&format!("cgroup/cpu{name}/cpu.cfs_period_us"), "100000\n");
            machine.write(&format!("cgroup/cpu{name}/cpu.cfs_quota_us"), "-1\n");
            machine
                .write(&format!("cgroup/memory{name}/memory.stat"), "cache 1\nrss 2\ntotal_cache 10\ntotal_rss 20\n");
            machine.write(&format!("cgroup/memory{name}/memory.use_hierarchy"), "1\n");
            machine.write(&format!("cgroup/memory{name}/memory.usage_in_bytes"), "4096\n");
            machine.write(&format!("cgroup/memory{name}/memory.limit_in_bytes"), "9223372036854771712\n");
            machine.write(&format!("cgroup/memory{name}/memory.oom_control"), "oom_kill_disable 0\noom_kill 4\n");
            machine.write(&format!("cgroup/blkio{name}/blkio.bfq.io_serviced_recursive"), "");
            let throttle = "8:0 Read 5\n8:0 Write 6\n8:0 Total 11\nTotal 11\n";
            machine.write(&format!("cgroup/blkio{name}/blkio.throttle.io_serviced"), throttle);
            machine.write(&format!("cgroup/blkio{name}/blkio.throttle.io_service_bytes"), throttle);
        }
        machine.write("cgroup/systemd/user.slice/cgroup.procs", "");
        machine
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn cgroups(&self) -> PathBuf {
        self.path().join("cgroup")
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A Docker that knows [`ID`] listens in this folder.
    fn docker(&self) -> task::Task<()> {
        let root = self.path().join("docker").display().to_string();
        self.http("docker.sock", move |path| match path {
            "/info" => Some(format!(r#"{{"Name": "h", "Driver": "overlay2", "DockerRootDir": {root:?}}}"#)),
            path => path.contains(ID).then(|| DETAILS.to_owned()),
        })
    }

    /// What answers questions on a socket in this folder.
    fn http(&self, socket: &str, answer: impl Fn(&str) -> Option<String> + Send + 'static) -> task::Task<()> {
        let listener = UnixListener::bind(self.path().join(socket)).expect("nobody else has it");
        task::spawn("engine", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let body = request.split(' ').nth(1).and_then(&answer);
                let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
                let body = body.unwrap_or_default();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                drop(stream.write_all(answer.as_bytes()).await);
            }
        })
    }

    /// All engines have their sockets in this folder.
    fn exporter(&self, config: &str) -> Exporter {
        let arguments = sdk_testing::component::decode(config, &Scope::new()).expect("good arguments");
        let path = |name: &str| self.path().join(name);
        let roots = Roots { proc: path("proc"), sys: path("sys"), cgroups: self.cgroups(), host: "/".into() };
        let mut settings = settings(arguments).expect("good settings");
        settings.engines.docker = Engine::new(Host::Unix(path("docker.sock")), None, ENGINE_TIMEOUT);
        settings.engines.containerd = path("containerd.sock");
        settings.engines.crio = path("crio.sock");
        Exporter::new(settings, roots, Arc::default())
    }
}

const DETAILS: &str = r#"{"Name": "/web", "Created": "2024-01-02T03:04:05.678Z", "RestartCount": 2,
    "State": {"Running": true, "Pid": 7, "Health": {"Status": "healthy"}},
    "Config": {"Image": "shop:1", "Labels": {"app.tier": "front"}, "Env": ["FOO_A=1", "BAR=2"]},
    "HostConfig": {"NetworkMode": "bridge"}}"#;

async fn page(exporter: &mut Exporter) -> String {
    exporter.look();
    exporter.ask().await;
    exporter.measure()
}

/// The samples of a family, without their moments, that of `id` only.
fn samples(page: &str, family: &str, id: &str) -> Vec<String> {
    let id = format!("id=\"{id}\"");
    let of_family = |line: &&str| line.strip_prefix(family).is_some_and(|rest| rest.starts_with('{'));
    let lines = page.lines().filter(of_family).filter(|line| line.contains(&id));
    let value = |line: &str| line.split_once("} ").and_then(|(_, value)| value.split(' ').next()).map(str::to_owned);
    lines.filter_map(value).collect()
}

#[tokio::test]
async fn a_container_of_the_second_version_is_shown_with_what_docker_tells() {
    let machine = Machine::v2();
    let docker = machine.docker();
    let mut exporter = machine.exporter("env_metadata_allowlist = [\"FOO\"]");
    let page = page(&mut exporter).await;
    let id = format!("/system.slice/docker-{ID}.scope");
    let of = |family: &str| samples(&page, family, &id);
    assert_eq!(of("container_cpu_usage_seconds_total"), ["1.5"]);
    assert!(
        page.contains(&format!(
            "container_cpu_usage_seconds_total{{container_env_foo_a=\"1\",container_label_app_tier=\"front\",\
         container_label_restartcount=\"2\",cpu=\"total\",id=\"{id}\",image=\"shop:1\",name=\"web\"}} 1.5 "
        )),
        "{page}"
    );
    assert_eq!(of("container_cpu_cfs_periods_total"), ["7"]);
    assert_eq!(of("container_cpu_cfs_throttled_seconds_total"), ["2"]);
    assert_eq!(of("container_spec_cpu_quota"), ["50000"]);
    assert_eq!(of("container_spec_cpu_shares"), ["2597"]);
    assert_eq!(of("container_memory_usage_bytes"), ["4096"]);
    assert_eq!(of("container_memory_working_set_bytes"), ["4000"]);
    assert_eq!(of("container_memory_max_usage_bytes"), ["8192"]);
    assert_eq!(of("container_memory_swap"), ["512"]);
    assert_eq!(of("container_memory_failures_total"), ["3", "3", "0", "0"]);
    assert_eq!(of("container_spec_memory_limit_bytes"), ["0"]);
    assert_eq!(of("container_spec_memory_swap_limit_bytes"), ["1024"]);
    assert_eq!(of("container_fs_reads_bytes_total"), ["10"]);
    assert_eq!(of("container_fs_writes_total"), ["2"]);
    assert!(
        page.contains("container_blkio_device_usage_total{container_env_foo_a=\"1\",")
            && page.contains("device=\"/dev/sda\"")
    );
    assert_eq!(of("container_pressure_cpu_waiting_seconds_total"), ["3"]);
    assert_eq!(of("container_pressure_cpu_stalled_seconds_total"), ["1"]);
    assert_eq!(of("container_oom_events_total"), ["2"]);
    assert_eq!(of("container_health_state"), ["1"]);
    assert_eq!(of("container_start_time_seconds"), ["1.704164645e+09"]);
    assert_eq!(of("container_network_receive_bytes_total"), ["1"]);
    assert_eq!(of("container_network_transmit_packets_dropped_total"), ["8"]);
    assert!(of("container_threads").is_empty());
    // The machine as a whole is not counted by the kernel as the others are.
    assert_eq!(samples(&page, "container_memory_usage_bytes", "/"), ["300"]);
    assert_eq!(samples(&page, "container_memory_swap", "/"), ["30720"]);
    assert_eq!(samples(&page, "container_spec_memory_limit_bytes", "/"), ["1.024e+06"]);
    assert!(!page.contains("boot.mount"), "{page}");
    assert!(page.contains("container_scrape_error 0"), "{page}");
    assert_eq!(exporter.news(), Some(Ok("containers are measured".to_owned())));
    assert_eq!(exporter.news(), None);
    docker.cut();
}

#[tokio::test]
async fn a_container_of_the_first_version_is_put_together_from_all_trees() {
    let machine = Machine::v1();
    let docker = machine.docker();
    let page = page(&mut machine.exporter("")).await;
    let id = format!("/docker/{ID}");
    let of = |family: &str| samples(&page, family, &id);
    assert_eq!(of("container_cpu_usage_seconds_total"), ["1.5", "2.5"]);
    assert!(page.contains("cpu=\"cpu00\"") && page.contains("cpu=\"cpu02\"") && !page.contains("cpu=\"cpu01\""));
    assert_eq!(of("container_cpu_user_seconds_total"), ["2.5"]);
    assert_eq!(of("container_memory_cache"), ["10"]);
    assert_eq!(of("container_memory_rss"), ["20"]);
    assert_eq!(of("container_spec_memory_limit_bytes"), ["0"]);
    assert_eq!(of("container_spec_cpu_shares"), ["1024"]);
    assert!(of("container_spec_cpu_quota").is_empty() && of("container_cpu_cfs_periods_total").is_empty());
    assert_eq!(of("container_fs_reads_total"), ["5"]);
    assert_eq!(of("container_blkio_device_usage_total"), ["5", "6", "11"]);
    assert_eq!(of("container_oom_events_total"), ["4"]);
    assert_eq!(of("container_pressure_io_waiting_seconds_total"), ["0"]);
    assert_eq!(samples(&page, "container_cpu_usage_seconds_total", "/docker"), [""; 0]);
    assert!(!page.contains("user.slice"), "{page}");
    docker.cut();
}

#[tokio::test]
async fn what_is_dear_to_read_is_read_when_asked_for() {
    let machine = Machine::v2();
    machine.write(&format!("cgroup/system.slice/docker-{ID}.scope/cgroup.procs"), "7\n");
    machine.write("proc/7/schedstat", "1000000000 2000000000 5\n");
    machine.write("proc/7/fd/0", "");
    machine.write("proc/7/limits", "Limit\nMax open files            1024     4096     files\n");
    machine.write("proc/7/smaps", "Referenced:   4 kB\nReferenced:   1 kB\n");
    machine.write("proc/7/net/tcp", "  sl\n 0: a b 0A\n");
    let docker = machine.docker();
    let config = r#"enabled_metrics = ["sched", "process", "referenced_memory", "tcp", "cpu"]"#;
    let mut exporter = machine.exporter(config);
    let id = format!("/system.slice/docker-{ID}.scope");
    let first = page(&mut exporter).await;
    let of = |page: &str, family: &str| samples(page, family, &id);
    assert_eq!(of(&first, "container_cpu_schedstat_run_seconds_total"), ["1"]);
    assert_eq!(of(&first, "container_processes"), ["1"]);
    assert_eq!(of(&first, "container_file_descriptors"), ["1"]);
    assert_eq!(of(&first, "container_threads"), ["3"]);
    assert_eq!(of(&first, "container_ulimits_soft"), ["1024"]);
    assert_eq!(of(&first, "container_referenced_bytes"), ["5120"]);
    assert_eq!(of(&first, "container_network_tcp_usage_total").iter().filter(|count| *count == "1").count(), 1);
    assert!(of(&first, "container_memory_usage_bytes").is_empty());
    // The time of a process that has ended stays.
    machine.write(&format!("cgroup/system.slice/docker-{ID}.scope/cgroup.procs"), "8\n");
    machine.write("proc/8/schedstat", "500000000 0 1\n");
    let second = page(&mut exporter).await;
    assert_eq!(of(&second, "container_cpu_schedstat_run_seconds_total"), ["1.5"]);
    docker.cut();
}

#[tokio::test]
async fn without_docker_containers_go_by_their_paths_and_docker_only_is_unwell() {
    let machine = Machine::v2();
    let mut exporter = machine.exporter("");
    let shown = page(&mut exporter).await;
    assert_eq!(samples(&shown, "container_memory_usage_bytes", &format!("/system.slice/docker-{ID}.scope")), ["4096"]);
    assert!(!shown.contains("name="), "{shown}");
    let news = exporter.news().expect("it has not been told").expect("it does its work");
    assert!(news.contains("is Docker installed"), "{news}");

    let mut exporter = machine.exporter("docker_only = true");
    let shown = page(&mut exporter).await;
    assert_eq!(samples(&shown, "container_memory_usage_bytes", "/").len(), 1);
    assert!(!shown.contains("system.slice"), "{shown}");
    assert!(exporter.news().is_some_and(|news| news.is_err_and(|why| why.contains("cannot reach the Docker engine"))));

    // It comes later.
    let docker = machine.docker();
    let shown = page(&mut exporter).await;
    assert!(shown.contains("name=\"web\""), "{shown}");
    assert!(exporter.news().is_some_and(|news| news.is_ok()));
    docker.cut();
}

#[tokio::test]
async fn a_container_that_has_gone_is_not_on_the_next_page() {
    let machine = Machine::v2();
    let docker = machine.docker();
    let mut exporter = machine.exporter("");
    assert!(page(&mut exporter).await.contains("name=\"web\""));
    std::fs::remove_dir_all(machine.cgroups().join("system.slice")).expect("it was there");
    let shown = page(&mut exporter).await;
    assert!(!shown.contains("name=") && shown.contains("id=\"/\""), "{shown}");
    docker.cut();
}

#[tokio::test]
async fn paths_are_chosen_by_their_beginnings() {
    let machine = Machine::v2();
    machine.write("cgroup/user.slice/cpu.stat", "usage_usec 1\n");
    let ids = |page: String| {
        let lines = page.lines().filter(|line| line.starts_with("container_start_time_seconds{"));
        lines.filter_map(|line| line.split("id=\"").nth(1)?.split('"').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let shown = page(&mut machine.exporter("raw_cgroup_prefix_allowlist = [\"/user\"]")).await;
    assert_eq!(ids(shown), ["/", "/user.slice"]);
    let shown = page(&mut machine.exporter("docker_only = true\nraw_cgroup_prefix_allowlist = [\"/user\"]")).await;
    assert_eq!(ids(shown), ["/", "/user.slice"]);
    let mut exporter = machine.exporter("docker_only = true\ndisable_root_cgroup_stats = true");
    let shown = page(&mut exporter).await;
    assert!(ids(shown).is_empty());
}

#[tokio::test]
async fn no_cgroups_and_files_that_cannot_be_read_are_said() {
    let machine = Machine(tempfile::tempdir().expect("a temporary folder"));
    machine.write("proc/self/mountinfo", "1 0 0:5 / / rw - ext4 /dev/sda1 rw\n");
    let mut exporter = machine.exporter("");
    let shown = page(&mut exporter).await;
    assert!(shown.contains("container_scrape_error 1") && shown.contains("machine_cpu_cores"), "{shown}");
    assert!(exporter.news().is_some_and(|news| news.is_err_and(|why| why.ends_with("none is mounted"))));

    let machine = Machine::v2();
    let file = machine.cgroups().join("memory.stat");
    std::fs::remove_file(&file).expect("it was there");
    // Reading a folder as a file fails for everybody, root included.
    std::fs::create_dir(&file).expect("a folder");
    let mut exporter = machine.exporter("");
    let shown = page(&mut exporter).await;
    assert!(shown.contains("container_scrape_error 1"), "{shown}");
    assert_eq!(samples(&shown, "container_cpu_usage_seconds_total", "/"), ["9"]);
    assert!(
        exporter
            .news()
            .is_some_and(|news| news.is_err_and(|why| why.contains("cannot read") && why.contains("memory.stat")))
    );
}

#[tokio::test]
async fn this_host_is_served_and_what_cannot_work_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!("docker_host = \"unix://{}/docker.sock\"", folder.path().display());
    let mut alone = Alone::<Cadvisor>::start(&config, &Scope::new()).expect("it starts");
    let handler = alone.component.http().expect("an exporter has a page");
    let ask = |path: &str| http::Request::get(path).body(bytes::Bytes::new()).expect("a request");
    let answer = handler(ask("/metrics")).await;
    let page = String::from_utf8_lossy(answer.body()).into_owned();
    assert!(page.contains("cadvisor_version_info{") && page.contains("machine_memory_bytes{"), "{page}");
    assert_eq!(handler(ask("/other")).await.status(), http::StatusCode::NOT_FOUND);
    alone.update(&format!("{config}\nenabled_metrics = [\"memory\"]"), &Scope::new()).expect("good arguments");
    let answer = handler(ask("/metrics")).await;
    assert!(!String::from_utf8_lossy(answer.body()).contains("container_cpu_user_seconds_total"));
    alone.stop().await.expect("it ends when told");

    let refused = |config: &str| Alone::<Cadvisor>::build(config, &Scope::new()).err().unwrap_or_default();
    assert!(refused("enabled_metrics = [\"cpus\"]").contains("unsupported metric \"cpus\" specified"));
    assert!(refused("docker_host = \"/var/run/docker.sock\"").contains("unable to parse docker host"));
}

/// `v2.expected.txt` is what the cAdvisor of Alloy 1.18 shows of the same files, without what depends on the machine: when a
/// folder was made and read, and the machine as a whole.
#[tokio::test]
async fn a_tree_of_the_second_version_is_shown_as_cadvisor_shows_it() {
    let machine = Machine(tempfile::tempdir().expect("a temporary folder"));
    for file in include_str!("fixtures/v2.txt").split("--- ").skip(1) {
        let (path, text) = file.split_once('\n').expect("a path and a text");
        machine.write(path, text);
    }
    let root = machine.cgroups().display().to_string();
    machine.write("proc/self/mountinfo", &format!("1 0 0:5 / {root} rw - cgroup2 cgroup2 rw\n"));
    machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
    // A limit of 0 is shown as all that there is.
    machine.write("proc/meminfo", "MemTotal: 24684092 kB\n");
    let mut exporter = machine.exporter(
        "enabled_metrics = [\"cpu\", \"cpuset\", \"diskIO\", \"hugetlb\", \"memory\", \"memory_numa\", \"percpu\",
         \"pressure\", \"process\"]",
    );
    let page = page(&mut exporter).await;
    let depends = |line: &str| {
        let family = line.split(['{', ' ']).next().unwrap_or_default();
        !line.starts_with("container_")
            || ["container_last_seen", "container_start_time_seconds", "container_scrape_error"].contains(&family)
            || line.contains("id=\"/\"")
    };
    // A name with labels, a value, and with most of them a moment.
    let timeless = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let mut shown: Vec<String> = page.lines().filter(|line| !depends(line)).map(timeless).collect();
    shown.sort_unstable();
    let expected: Vec<&str> = include_str!("fixtures/v2.expected.txt").lines().collect();
    let missing: Vec<&&str> = expected.iter().filter(|line| !shown.iter().any(|ours| ours == *line)).collect();
    let more: Vec<&String> = shown.iter().filter(|line| !expected.contains(&line.as_str())).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing: {missing:#?}\nmore: {more:#?}");
    assert_eq!(shown.len(), expected.len());
}
