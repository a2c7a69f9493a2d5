//! Targets that mean harm beside one that does not, and new configurations while it is scraped.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::collector::Collector;
use crate::config;
use crate::site::Site;
use crate::targets::{Harm, Hostile, Numbered, gaps_and_doubles};
use crate::{Outcome, Settings};

/// Memory that all hostile targets together may cost, in MiB.
const MORE_MEMORY: u64 = 64;

/// A target that behaves, and how often it is scraped.
async fn scraped(settings: Settings) -> Result<(Site<Numbered>, Duration), String> {
    // A short run beside other work says nothing about times.
    let interval = Duration::from_secs(1);
    let site = Site::scraped(settings).await?;
    site.tally.keep_times();
    site.configure(&config::scrape(site.log.port, &[], interval, "", site.port))?;
    Ok((site, interval))
}

/// What the target that behaves was promised.
async fn without_gaps(site: &Site<Numbered>, collector: Collector, interval: Duration) -> Result<Outcome, String> {
    site.log.ends();
    let outcome = site.all_arrive().await;
    collector.stop().await?;
    let times = site.tally.times.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
    let (gaps, doubles) = gaps_and_doubles(&times, interval);
    let long = site.settings.is_long();
    let scrapes = outcome.written;
    Ok(outcome
        .nothing_lost()
        .nothing_repeated()
        .promised(scrapes > 0, "the target that behaves was never scraped")
        .promised(times.len() <= 1, "the target that behaves has several series")
        .promised(gaps == 0 || !long, format!("{gaps} gaps between scrapes"))
        .promised(doubles == 0 || !long, format!("{doubles} double scrapes")))
}

/// All kinds of harm at once, each by a target of its own.
pub async fn hostile(settings: Settings) -> Result<Outcome, String> {
    let (site, interval) = scraped(settings).await?;
    let mut hostile = Vec::new();
    for harm in Harm::ALL {
        hostile.push(Hostile::start(harm).await?);
    }
    let collector = site.start().await?;
    // What is usual is known.
    tokio::time::sleep(site.settings.time.min(Duration::from_secs(10))).await;
    let before = collector.holdings()?;
    let ports: Vec<u16> = hostile.iter().map(|target| target.port).collect();
    // Long enough that ten million series come in full, and are seen to.
    let every = site.settings.time.div_f64(3.0).max(Duration::from_secs(2));
    site.configure(&config::scrape(site.log.port, &ports, interval, &config::hostile(&ports, every), site.port))?;
    if !collector.reload().await? {
        return Err("hostile targets were not taken".to_owned());
    }
    let patience = site.settings.patience;
    let start = Instant::now();
    let all_asked = || hostile.iter().all(|target| target.asked() > 0);
    let ((), most) = collector
        .watched(async {
            tokio::time::sleep(site.settings.time).await;
            while !all_asked() && start.elapsed() < site.settings.time + patience {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await?;
    // A debug build beside other work may need longer than a short run has to see so much.
    let counted = !site.settings.is_long()
        || collector.metric("prometheus_target_scrapes_exceeded_body_size_limit_total").await > 0.0;
    let more = most.saturating_sub(before.anonymous) / 1024;
    let idle: Vec<Harm> = hostile.iter().filter(|target| target.asked() == 0).map(|target| target.harm).collect();
    let asked: u64 = hostile.iter().map(Hostile::asked).sum();
    let outcome = without_gaps(&site, collector, interval).await?;
    Ok(outcome
        .noting(format!("{} hostile targets, asked {asked} times; {more} MiB more meanwhile", hostile.len()))
        .promised(idle.is_empty(), format!("nobody asked {idle:?}"))
        .promised(counted, "no page was counted as too large")
        .promised(more <= MORE_MEMORY, format!("{more} MiB more memory")))
}

/// Arguments change, components and targets come and go, and every tenth text is wrong.
pub async fn reloads(settings: Settings) -> Result<Outcome, String> {
    let (site, interval) = scraped(settings).await?;
    let other: Arc<Numbered> = Numbered::start().await?;
    let collector = site.start().await?;
    let until = Instant::now() + site.settings.time;
    let mut reloads = 0;
    while Instant::now() < until || site.log.is_unasked() {
        if Instant::now() > until + site.settings.patience {
            break;
        }
        let more = match reloads % 10 {
            1 => "prometheus.echo \"b\" { }\n",
            9 => "prometheus.scarpe \"b\" { }\n",
            _ => "",
        };
        let others = if reloads % 3 == 2 { vec![other.port] } else { Vec::new() };
        let mut text = config::scrape(site.log.port, &others, interval, more, site.port);
        match reloads % 10 {
            4 => text = text.replace("\tscrape_timeout = \"1s\"", "\tscrape_timeout = \"1s\"\n\tsample_limit = 1000"),
            5 => text = text.replace("\tscrape_timeout = \"1s\"", "\tscrape_timeout = \"900ms\""),
            7 => text = text.replace("batch_send_deadline = \"100ms\"", "batch_send_deadline = \"150ms\""),
            _ => {}
        }
        site.configure(&text)?;
        if collector.reload().await? == (reloads % 10 == 9) {
            return Err(format!("reload {reloads} was answered wrongly"));
        }
        reloads += 1;
    }
    let outcome = without_gaps(&site, collector, interval).await?;
    Ok(outcome.noting(format!("{reloads} reloads")))
}
