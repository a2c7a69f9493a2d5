use super::*;

/// A writer whose text can be read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    /// What was written since the last look, without times.
    fn lines(&self) -> String {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(|line| line.split_once(" level=").map_or(line, |(_, rest)| rest).to_owned() + "\n").collect()
    }
}

fn check(story: impl FnOnce(&Log, &Page)) {
    let page = Page::default();
    let log = Log::writing_to(Box::new(page.clone()));
    tracing::subscriber::with_default(log.subscriber(), || story(&log, &page));
}

#[test]
fn lines_wait_until_level_and_format_are_known() {
    check(|log, page| {
        tracing::info!("first");
        tracing::debug!("second");
        assert_eq!(page.lines(), "");
        log.configure(Level::Info, Format::Logfmt);
        tracing::warn!("third");
        assert_eq!(page.lines(), "info msg=first\nwarn msg=third\n");
    });
}

#[test]
fn a_line_says_which_component_it_is_about_and_err_is_alloys_word() {
    check(|log, page| {
        log.configure(Level::Error, Format::Logfmt);
        let span = tracing::info_span!("component", component_path = "/", component_id = "loki.write.w");
        let _inside = span.enter();
        let error = "connection refused";
        tracing::error!(retries = 3, %error, "cannot send");
        assert_eq!(
            page.lines(),
            "error msg=\"cannot send\" component_path=/ component_id=loki.write.w retries=3 err=\"connection refused\"\n"
        );
    });
}

#[test]
fn level_and_format_change_while_running() {
    check(|log, page| {
        let say = || {
            tracing::debug!("d");
            tracing::info!("i");
        };
        log.configure(Level::Info, Format::Logfmt);
        say();
        log.configure(Level::Debug, Format::Logfmt);
        say();
        log.configure(Level::Warn, Format::Json);
        say();
        tracing::warn!("w");
        let lines = page.lines();
        assert!(lines.starts_with("info msg=i\ndebug msg=d\ninfo msg=i\n{\"ts\":"), "{lines}");
        assert!(lines.ends_with("\"level\":\"warn\",\"msg\":\"w\"}\n"), "{lines}");
    });
}

#[test]
fn of_what_other_crates_say_only_warnings_are_written() {
    check(|log, page| {
        log.configure(Level::Debug, Format::Logfmt);
        tracing::info!(target: "h2::client", "frame");
        tracing::warn!(target: "h2::client", "broken");
        tracing::info!(target: "components_loki::write", "sent");
        assert_eq!(page.lines(), "warn msg=broken\ninfo msg=sent\n");
    });
}

#[test]
fn waiting_lines_have_a_bound() {
    check(|log, page| {
        for number in 0..MAX_WAITING + 5 {
            tracing::info!(number, "waits");
        }
        log.configure(Level::Info, Format::Logfmt);
        let lines = page.lines();
        assert_eq!(lines.lines().count(), MAX_WAITING);
        assert!(lines.starts_with("info msg=waits number=5\n"));
    });
}
