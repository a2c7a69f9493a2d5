//! New configurations under load.

use std::time::Duration;

use tokio::time::Instant;

use super::RATE;
use crate::collector::{Holdings, said};
use crate::config::Config;
use crate::site::Site;
use crate::{Outcome, Settings};

/// Arguments change, components come and go, and every tenth text is wrong.
pub async fn storm(settings: Settings, wal: bool) -> Result<Outcome, String> {
    let site = Site::new(settings, wal, None).await?;
    let good = Config::to(site.port, wal).text(site.log.path());
    let collector = site.start().await?;
    let load = site.log.load(RATE);
    let until = Instant::now() + site.settings.time;
    let mut reloads = 0;
    while Instant::now() < until {
        let (text, is_good) = match reloads % 10 {
            9 => (format!("{good}\nloki.wriet \"b\" {{ }}\n"), false),
            round @ (1 | 4 | 7) => {
                let wait = format!("batch_wait = \"{}ms\"", 50 + round);
                (good.replace("batch_wait = \"100ms\"", &wait), true)
            }
            2 | 5 => (
                format!(
                    "{good}\nloki.echo \"b\" {{ }}\nloki.process \"b\" {{\n\tforward_to = [loki.echo.b.receiver]\n}}\n"
                ),
                true,
            ),
            3 => (good.replace("loki.source.file \"a\" {", "loki.source.file \"a\" {\n\ttail_from_end = true"), true),
            _ => (good.clone(), true),
        };
        site.configure(&text)?;
        if collector.reload().await? != is_good {
            return Err(format!("reload {reloads} was {}taken", if is_good { "not " } else { "" }));
        }
        reloads += 1;
    }
    load.stop();
    let outcome = site.all_arrive().await.noting(format!("{reloads} reloads"));
    collector.stop().await?;
    Ok(outcome.nothing_lost().nothing_repeated())
}

/// The same file under another label: no line is read again, none is passed over.
pub async fn labels(settings: Settings) -> Result<Outcome, String> {
    let site = Site::new(settings, false, None).await?;
    let plain = Config::to(site.port, false).text(site.log.path());
    let collector = site.start().await?;
    let load = site.log.load(RATE);
    let until = Instant::now() + site.settings.time;
    let mut changes = 0;
    while Instant::now() < until {
        site.configure(&plain.replace("\"__path__\" =", &format!("\"round\" = \"{}\", \"__path__\" =", changes % 7)))?;
        if !collector.reload().await? {
            return Err("a new label was not taken".to_owned());
        }
        changes += 1;
        tokio::time::sleep(site.settings.time / 20).await;
    }
    load.stop();
    let outcome = site.all_arrive().await.noting(format!("{changes} changes"));
    collector.stop().await?;
    Ok(outcome.nothing_lost().nothing_repeated())
}

/// What 200 reloads leave behind in the process: threads, files, memory.
pub async fn leftovers(settings: Settings) -> Result<Outcome, String> {
    let site = Site::new(settings, false, None).await?;
    let good = Config::to(site.port, false).text(site.log.path());
    let collector = site.start().await?;
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).map_err(said)?.port();
    let mut before = Holdings::default();
    for round in 0..240 {
        // The first ones fill caches and pools.
        if round == 40 {
            before = collector.holdings()?;
        }
        // Arguments change, components come and go with their ports and queues, and every tenth text is wrong.
        let text = match round % 10 {
            9 => format!("{good}\nloki.wriet \"b\" {{ }}\n"),
            even if even % 2 == 0 => format!(
                "{}\notelcol.receiver.otlp \"r\" {{\n\thttp {{\n\t\tendpoint = \"127.0.0.1:{free}\"\n\t}}\n\toutput {{ }}\n}}\n\
                 loki.write \"b\" {{\n\tendpoint {{\n\t\turl = \"http://127.0.0.1:{}/\"\n\t}}\n}}\n",
                good.replace("batch_wait = \"100ms\"", &format!("batch_wait = \"{}ms\"", 50 + round)),
                site.port
            ),
            _ => good.clone(),
        };
        site.configure(&text)?;
        if collector.reload().await? != (round % 10 != 9) {
            return Err(format!("reload {round} was answered wrongly"));
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = collector.holdings()?;
    // Blocking threads come and go by themselves; one for each reload would be 200.
    Ok(Outcome::default()
        .noting(format!("{before} before 200 reloads, {after} after"))
        .promised(after.threads <= before.threads + 8, "threads are left behind")
        .promised(after.files <= before.files + 8, "files are left behind")
        .promised(after.kilobytes <= before.kilobytes + 16_000, "memory is left behind"))
}
