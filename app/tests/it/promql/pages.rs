//! Ten pages, and a server that shows them to two scrapers at once. What a page says depends on the step only, so that it does
//! not matter who looks when.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub const PAGES: usize = 10;

/// The page with its own timestamps.
const TIMED: usize = 5;
/// The page that is away in one step.
pub const AWAY: usize = 7;
/// The page that is broken in one step.
pub const BROKEN: usize = 8;
/// The step in which each is.
pub const AWAY_IN: usize = 2;
pub const BROKEN_IN: usize = 3;
pub const STEPS: usize = 5;

/// The server.
pub struct Pages {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    step: usize,
    /// When each step began, in milliseconds since 1970.
    begun: Vec<i64>,
    /// By scraper and page.
    seen: BTreeMap<(String, usize), Seen>,
}

/// How often a page was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// All in all.
    pub times: u64,
    /// Before this step.
    pub before: u64,
}

// === impl Pages ===

impl Pages {
    pub fn serve() -> Pages {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let pages = Pages { address, state: state.clone() };
        pages.begin(0);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || answer(stream, &state));
            }
        });
        pages
    }

    /// All pages say from now on what they say in this step.
    pub fn begin(&self, step: usize) {
        let mut state = locked(&self.state);
        state.step = step;
        state.begun.push(base_sys::clock::now_ms());
        for seen in state.seen.values_mut() {
            seen.before = seen.times;
        }
    }

    /// How often a scraper has looked at a page.
    pub fn seen(&self, scraper: &str, page: usize) -> Seen {
        locked(&self.state).seen.get(&(scraper.to_owned(), page)).copied().unwrap_or_default()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `GET /scraper/page`
fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    drop(stream.set_read_timeout(Some(Duration::from_secs(30))));
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut parts = path.trim_start_matches('/').split('/');
    let (scraper, page) = (parts.next().unwrap_or_default(), parts.next().and_then(|page| page.parse().ok()));
    let page: usize = page.expect("only pages are asked for");
    // The count and the text belong together.
    let (kind, text) = {
        let mut state = locked(state);
        let seen = state.seen.entry((scraper.to_owned(), page)).or_default();
        seen.times += 1;
        let times = seen.times;
        text(page, state.step, &state.begun, times)
    };
    let status = if text.is_empty() { "500 Internal Server Error" } else { "200 OK" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())));
}

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a page says; nothing while it is away.
fn text(page: usize, step: usize, begun: &[i64], times: u64) -> (&'static str, String) {
    let mut text = format!("# TYPE seen_times counter\nseen_times_total {times}\n");
    let mut line = |line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).and_then(|()| text.write_char('\n')).expect("a String can be written to");
    };
    let n = step as f64;
    match page {
        0 => {
            // Begins anew in step 3.
            let (gets, posts) = if step < 3 { (10.0 * n + 1.0, 5.0 * n) } else { (n, 1.0) };
            line(format_args!("# HELP http_requests_total Requests.\n# TYPE http_requests_total counter"));
            line(format_args!("http_requests_total{{code=\"200\",method=\"get\"}} {gets}"));
            line(format_args!("http_requests_total{{code=\"200\",method=\"post\"}} {posts}"));
            line(format_args!("http_requests_total{{code=\"500\",method=\"get\"}} 0.5"));
        }
        1 => {
            line(format_args!("# TYPE temperature gauge\ntemperature{{room=\"a\"}} {}", 20.0 - n * n));
            line(format_args!(
                "temperature{{room=\"b\"}} -3.25e-05\ntemperature{{room=\"c\"}} 1.7976931348623157e+308"
            ));
            line(format_args!("special{{is=\"nan\"}} NaN\nspecial{{is=\"inf\"}} +Inf\nspecial{{is=\"low\"}} -Inf"));
        }
        2 => {
            line(format_args!("# TYPE duration_seconds histogram"));
            for (bound, count) in [("0.5", step), ("2.5", 2 * step + 1), ("+Inf", 3 * step + 2)] {
                line(format_args!("duration_seconds_bucket{{le=\"{bound}\"}} {count}"));
            }
            line(format_args!("duration_seconds_sum {}\nduration_seconds_count {}", n * 1.5, 3 * step + 2));
        }
        3 => {
            line(format_args!("# TYPE rpc_seconds summary"));
            for quantile in ["0.5", "0.9", "0.99"] {
                line(format_args!("rpc_seconds{{service=\"x\",quantile=\"{quantile}\"}} {}", n + 0.1));
            }
            line(format_args!("rpc_seconds_sum{{service=\"x\"}} {n}\nrpc_seconds_count{{service=\"x\"}} {step}"));
        }
        4 => {
            line(format_args!("# TYPE jobs counter\njobs_total{{queue=\"q\"}} {n} # {{trace_id=\"a{step}\"}} 0.5"));
            line(format_args!(
                "jobs_created{{queue=\"q\"}} 1.6e+09\n# TYPE build info\nbuild_info{{version=\"v{step}\"}} 1"
            ));
            line(format_args!("# TYPE mode stateset\nmode{{mode=\"on\"}} {}\nmode{{mode=\"off\"}} 0", step % 2));
            text.push_str("# EOF\n");
            return (OPEN, text);
        }
        TIMED => {
            line(format_args!("# TYPE ticks_total counter\nticks_total {} {}", 7 * step * step, begun[step]));
        }
        6 => {
            line(format_args!("# TYPE many gauge"));
            // Every second one is away in odd steps.
            for number in (0..500).filter(|number| step.is_multiple_of(2) || number % 2 == 0) {
                line(format_args!("many{{number=\"{number}\",group=\"g{}\"}} {}", number % 7, number * (step + 1)));
            }
        }
        AWAY if step == AWAY_IN => return (PLAIN, String::new()),
        // At its first line: Prometheus forgets that those before a broken one have to become stale, and we do not.
        BROKEN if step == BROKEN_IN => text.insert_str(0, "fragile{part=\"a\" 1\n"),
        AWAY | BROKEN => line(format_args!("fragile{{part=\"a\"}} {n}\nfragile{{part=\"b\"}} 2")),
        _ => {
            line(format_args!("odd{{path=\"C:\\\\dir\\\\\",text=\"a\\\"b\\nc\",word=\"größe 測試\",empty=\"\"}} {n}"));
            line(format_args!("mine{{instance=\"theirs\",job=\"theirs\"}} {n}"));
        }
    }
    (PLAIN, text)
}
