//! Running components: each in a task of its own, restarted when it ends, stopped in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base_sys::task::{Ended, Scope as Tasks};
use futures_util::future::join_all;
use sdk_component::{HealthState, Stop};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::commit::Transition;
use crate::engine::Engine;
use crate::import::keep_fresh;
use crate::measure::controller;
use crate::node::{ComponentNode, Kind, Node, lock};

/// What a component may take to deliver what it holds, before the rest goes to its state directory.
const GRACE: Duration = Duration::from_secs(5);

/// How much longer than its grace a component removed by a reload may take before it is cut off.
const REMOVAL: Duration = Duration::from_secs(30);

/// What it may take with the tasks a component has left behind.
const LEFTOVERS: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often a stop that takes long is mentioned.
const REMINDER: Duration = Duration::from_secs(60);

/// A node at work.
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: Tasks,
}

/// Stops what is gone, starts what is new.
pub(crate) async fn carry_out(engine: &Arc<Engine>, transition: Transition) {
    for group in transition.stop {
        join_all(group.iter().map(|node| stop(node, Some(GRACE + REMOVAL)))).await;
    }
    for node in transition.start {
        start(engine, &node);
    }
}

/// Starts a node that can run and does not.
pub(crate) fn start(engine: &Arc<Engine>, node: &Arc<Node>) {
    if engine.tasks.is_stopped() {
        return;
    }
    let mut running = lock(&node.running);
    if running.is_some() {
        return;
    }
    let (token, tasks) = (CancellationToken::new(), engine.tasks.child());
    let stop = Stop::new(token.clone(), GRACE).announced_by(engine.stopping.clone());
    let name = node.global_id();
    match &node.kind {
        Kind::Component(_) => {
            let work = supervise(engine.clone(), node.clone(), stop, tasks.clone());
            drop(tasks.spawn(name, work));
        }
        Kind::Import(_) => {
            drop(tasks.spawn(name, keep_fresh(engine.clone(), node.clone(), stop)));
        }
        Kind::Custom(_) => node.ran(HealthState::Healthy, "started custom component"),
        Kind::Foreach(_) => node.ran(HealthState::Healthy, "started foreach"),
        Kind::Service | Kind::Plain => return,
    }
    *running = Some(Running { stop: token, tasks });
}

/// Asks a node to end and waits; `limit` is when it is cut off.
pub(crate) async fn stop(node: &Arc<Node>, limit: Option<Duration>) {
    let Some(running) = lock(&node.running).take() else { return };
    running.stop.cancel();
    let asked = Instant::now();
    let mut ended = std::pin::pin!(running.tasks.close(limit.unwrap_or(Duration::MAX)));
    let cut = loop {
        tokio::select! {
            cut = &mut ended => break cut,
            () = tokio::time::sleep(REMINDER) => {
                let waited = asked.elapsed();
                tracing::warn!(node_id = node.global_id(), ?waited, "task shutdown is taking longer than expected");
            }
        }
    };
    if cut > 0 {
        tracing::error!(node_id = node.global_id(), "task shutdown deadline exceeded");
    }
    if let Some(component) = node.component() {
        component.context.tasks().close();
        let _ = tokio::time::timeout(LEFTOVERS, component.context.tasks().wait()).await;
        component.context.metrics().unregister();
    }
    match &node.kind {
        Kind::Custom(_) => node.ran(HealthState::Exited, "custom component shut down cleanly"),
        Kind::Foreach(_) => node.ran(HealthState::Exited, "foreach node shut down cleanly"),
        _ => {}
    }
}

/// In the words that people search for.
fn told(node: &Node, error: Option<(&str, Duration)>) {
    let (_, controller_id) = controller(&node.module);
    let id = &*node.id;
    match error {
        None => tracing::info!(controller_id, node = id, "node exited without error"),
        Some((err, retry_in)) => tracing::error!(controller_id, node = id, err, ?retry_in, "node exited with error"),
    }
}

async fn supervise(engine: Arc<Engine>, node: Arc<Node>, stop: Stop, tasks: Tasks) {
    let Kind::Component(component) = &node.kind else { return };
    let mut pause = FIRST_PAUSE;
    // It broke when it was given new arguments.
    if component.broken.load(Ordering::Acquire) {
        node.ran(HealthState::Unhealthy, "component panicked and is restarted");
        if !wait_for_restart(&engine, &node, component, &stop, pause).await {
            return;
        }
    }
    loop {
        let Some(instance) = component.instance() else { return };
        let (own, own_end) = stop.child();
        let started = Instant::now();
        node.ran(HealthState::Healthy, "started component");
        let work = instance.run(own).instrument(component.context.span().clone());
        let ended = tasks.spawn(node.global_id(), work).await;
        // What it spawned ends with it, also when it is started again.
        own_end.cancel();
        if stop.is_stopped() {
            told(&node, None);
            node.ran(HealthState::Exited, "component shut down cleanly");
            return;
        }
        if started.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        match ended {
            Ended::Returned(Ok(())) => {
                told(&node, None);
                node.ran(HealthState::Exited, "component shut down cleanly");
            }
            Ended::Returned(Err(stopped)) => {
                told(&node, Some((&stopped.to_string(), pause)));
                node.ran(HealthState::Exited, format!("component shut down with error: {stopped}"));
            }
            Ended::Panicked(message) => {
                node.ran(HealthState::Unhealthy, format!("component panicked and is restarted: {message}"));
                component.broken.store(true, Ordering::Release);
            }
            Ended::Cut => return,
        }
        if !wait_for_restart(&engine, &node, component, &stop, pause).await {
            node.ran(HealthState::Exited, "component shut down cleanly");
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits the pause out and, after a panic, for another instance. False when it is time to stop.
async fn wait_for_restart(
    engine: &Arc<Engine>,
    node: &Arc<Node>,
    component: &ComponentNode,
    stop: &Stop,
    pause: Duration,
) -> bool {
    loop {
        tokio::select! {
            () = stop.stopped() => return false,
            () = tokio::time::sleep(pause) => {}
        }
        if !component.broken.load(Ordering::Acquire) {
            return true;
        }
        engine.marks.evaluate(node.place());
        tokio::select! {
            () = stop.stopped() => return false,
            () = component.rebuilt.notified() => return true,
            // Building failed: again after a pause.
            () = tokio::time::sleep(pause) => {}
        }
    }
}
