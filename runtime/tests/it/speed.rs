//! Large graphs: what is done must grow with the graph, not with its square.

use crate::fakes::*;

/// A chain as long as the longest in the wild, and a fan.
#[tokio::test(start_paused = true)]
async fn a_thousand_components_load_and_propagate_each_once() {
    let mut text = String::from("test.pass \"p0\" { input = 0 }\n");
    for index in 1..1000 {
        let from = if index % 10 == 0 { 0 } else { index - 1 };
        text += &format!("test.pass \"p{index}\" {{ input = test.pass.p{from}.output + 1 }}\n");
    }
    let running = Running::new(&text).await;
    assert_eq!(journal().iter().filter(|event| event.starts_with("build")).count(), 1000);
    publish("test.pass.p0", 5i64);
    settle().await;
    assert_eq!(journal().len(), 999);
    assert_eq!(running.host.components("").unwrap().len(), 1000);
}
