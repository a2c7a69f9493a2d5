use std::time::Duration;

use sdk_component::BoxFuture;
use sdk_signals::{Consumer, Delivery, LogBatch, Receiver, Refused};
use tokio::sync::mpsc;

use super::*;

/// A receiver that logs about every batch, as loki.echo does.
struct Echo(mpsc::Sender<LogBatch>);

impl Consumer<LogBatch> for Echo {
    fn consume(&self, batch: LogBatch) -> BoxFuture<'_, Result<Delivery, Refused>> {
        Box::pin(async move {
            tracing::info!(entries = batch.len(), "received log entry");
            self.0.send(batch).await.map_err(|_| Refused::stopped("echo"))?;
            Ok(Delivery::delivered())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn lines_reach_the_receivers_once() {
    let log = Log::writing_to(Box::new(std::io::sink()));
    let _default = tracing::subscriber::set_default(log.subscriber());
    let (sender, mut received) = mpsc::channel(16);
    let receiver = LogsReceiver(Receiver::new("loki.echo.e", Arc::new(Echo(sender))));
    let logging = Arc::new(Logging::new(log, &Scope::detached()));
    let arguments = Arguments {
        level: Level::Info,
        format: Format::Logfmt,
        destination: Destination::Stderr,
        write_to: vec![receiver],
    };
    (logging.update(arguments).unwrap().commit)();

    tracing::info!("hello");
    let mut inbox = logging.inbox.lock().unwrap().take().unwrap();
    let batch = inbox.next().await;
    hand_over(batch, &logging.receivers.borrow().clone(), &logging.dropped).await;

    let batch = received.recv().await.unwrap();
    assert_eq!(batch.groups[0].labels.get("component"), Some("alloy"));
    let line = String::from_utf8(batch.groups[0].entries[0].line.to_vec()).unwrap();
    assert!(line.ends_with(" level=info msg=hello\n"), "{line}");
    // What the receiver logged about it does not come round again.
    assert!(tokio::time::timeout(Duration::from_secs(1), inbox.next()).await.is_err());
}

#[test]
fn what_receivers_are_too_slow_for_is_counted() {
    let dropped = Counter::new();
    let (forward, _inbox) = pair(dropped.clone());
    for _ in 0..5000 {
        forward.send(0, "line\n".to_owned());
    }
    assert_eq!(dropped.get(), 904.0);
}
