//! Scrape targets.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// What a target shows.
#[derive(Clone, Copy)]
pub enum Page {
    /// Like a node exporter's: 550 samples of 3 labels and fewer.
    Node,
    /// Like an instrumented service's: 2,000 samples of 12 labels, those of the target and the name among them.
    Labels,
}

impl Page {
    /// Its samples.
    pub fn samples(self) -> usize {
        match self {
            Page::Node => 550,
            Page::Labels => 2000,
        }
    }

    /// The page in families of ten, with values that vary.
    fn text(self, variant: u64) -> Vec<u8> {
        let mut text = String::new();
        let mut random = variant.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for family in 0..self.samples() / 10 {
            let name = match self {
                Page::Node => format!("node_family_{family}_bytes_total"),
                Page::Labels => format!("service_family_{family}_requests_total"),
            };
            text += &format!("# HELP {name} What family {family} has counted so far.\n# TYPE {name} counter\n");
            for series in 0..10 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Two in five change from scrape to scrape, as on a real host.
                let value = match series % 5 < 2 {
                    true => (random >> 20) as f64 / 64.0,
                    false => (family * 1000 + series) as f64,
                };
                text += &name;
                text += &match self {
                    Page::Node => format!("{{device=\"disk{series}\",mode=\"read-{}\"}}", series % 3),
                    Page::Labels => format!(
                        "{{cluster=\"production-eu-west-1\",namespace=\"shop-backend\",pod=\"checkout-7d9f8b6c5-{family}x{series}\",\
                         container=\"checkout\",method=\"GET\",route=\"/api/v1/orders/{{id}}/{family}\",status=\"{}\",\
                         version=\"2.14.{}\",zone=\"eu-west-1{}\"}}",
                        200 + series,
                        family % 7,
                        ["a", "b", "c"][series % 3],
                    ),
                };
                text += &format!(" {value}\n");
            }
        }
        text.into_bytes()
    }
}

fn gzip(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page)?;
    encoder.finish()
}

/// Serves 8 variants of the page at any path, on a free port; compressed, if so, for everybody, as all ask for it.
pub async fn targets(page: Page, compressed: bool) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let pages = (0..8).map(|variant| {
        let text = page.text(variant);
        Ok(Bytes::from(if compressed { gzip(&text)? } else { text }))
    });
    let pages: Arc<Vec<Bytes>> = Arc::new(pages.collect::<std::io::Result<_>>()?);
    let turn = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pages, turn) = (pages.clone(), turn.clone());
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |_| {
                    let body = pages[(turn.fetch_add(1, Relaxed) % 8) as usize].clone();
                    async move {
                        let page = http::Response::builder()
                            .header("content-type", "text/plain; version=0.0.4; charset=utf-8");
                        let page = if compressed { page.header("content-encoding", "gzip") } else { page };
                        page.body(Full::new(body))
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
