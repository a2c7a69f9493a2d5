//! Scrape targets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// Samples on a page of [`targets`].
pub const SAMPLES_PER_PAGE: usize = 550;

/// A page like a node exporter's: 550 samples of 3 labels and fewer, in families, values that vary.
fn page(variant: u64) -> Bytes {
    let mut text = String::new();
    let mut random = variant.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for family in 0..55 {
        text += &format!("# HELP node_family_{family}_bytes_total What family {family} has counted so far.\n");
        text += &format!("# TYPE node_family_{family}_bytes_total counter\n");
        for series in 0..SAMPLES_PER_PAGE / 55 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Two in five change from scrape to scrape, as on a real host.
            let value =
                if series % 5 < 2 { (random >> 20) as f64 / 64.0 } else { f64::from(family * 1000 + series as u32) };
            text += &format!(
                "node_family_{family}_bytes_total{{device=\"disk{series}\",mode=\"read-{}\"}} {value}\n",
                series % 3
            );
        }
    }
    text.into()
}

/// Serves 8 variants of the page at any path, on a free port.
pub async fn targets() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let pages: Arc<Vec<Bytes>> = Arc::new((0..8).map(page).collect());
    let turn = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pages, turn) = (pages.clone(), turn.clone());
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |_| {
                    let body = pages[(turn.fetch_add(1, Relaxed) % 8) as usize].clone();
                    async move {
                        http::Response::builder()
                            .header("content-type", "text/plain; version=0.0.4; charset=utf-8")
                            .body(Full::new(body))
                    }
                });
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(port)
}
