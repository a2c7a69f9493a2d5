//! Spans as services send them: some 400 bytes each, with ten attributes.

use bytes::Bytes;

use crate::wire::{put_bytes, put_fixed64, put_number};

/// Eight different requests of so many spans.
pub fn requests(spans: u64) -> Vec<Bytes> {
    requests_of(spans, "bench")
}

/// The same of a scope of another name, which stands in front of all spans.
pub fn requests_of(spans: u64, scope_name: &str) -> Vec<Bytes> {
    (0..8u64)
        .map(|variant| {
            let mut scope = Vec::new();
            put_bytes(&mut scope, 1, &{
                let mut name = Vec::new();
                put_bytes(&mut name, 1, scope_name.as_bytes());
                name
            });
            for index in 0..spans {
                put_bytes(&mut scope, 2, &span(variant * spans + index));
            }
            let mut resource = Vec::new();
            put_bytes(&mut resource, 1, &attribute("service.name", "checkout"));
            let mut resource_spans = Vec::new();
            put_bytes(&mut resource_spans, 1, &resource);
            put_bytes(&mut resource_spans, 2, &scope);
            let mut request = Vec::new();
            put_bytes(&mut request, 1, &resource_spans);
            request.into()
        })
        .collect()
}

fn span(seed: u64) -> Vec<u8> {
    let id = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut span = Vec::new();
    put_bytes(&mut span, 1, &[id.to_be_bytes(), (!id).to_be_bytes()].concat());
    put_bytes(&mut span, 2, &id.rotate_left(17).to_be_bytes());
    put_bytes(&mut span, 5, b"GET /api/v1/items/{id}");
    put_number(&mut span, 6, 2);
    put_fixed64(&mut span, 7, 1_760_000_000_000_000_000 + seed);
    put_fixed64(&mut span, 8, 1_760_000_000_005_000_000 + seed);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/api/v1/items/{id}"),
        ("http.response.status", "200"),
        ("server.address", "items.internal"),
        ("client.address", "10.1.2.3"),
        ("user_agent.original", "Mozilla/5.0 bench"),
        ("network.protocol", "http/1.1"),
        ("deployment", "production"),
        ("thread.name", "worker-17"),
    ] {
        put_bytes(&mut span, 9, &attribute(name, value));
    }
    put_bytes(&mut span, 9, &attribute("request.id", &format!("{id:016x}")));
    span
}

fn attribute(key: &str, value: &str) -> Vec<u8> {
    let mut any = Vec::new();
    put_bytes(&mut any, 1, value.as_bytes());
    let mut pair = Vec::new();
    put_bytes(&mut pair, 1, key.as_bytes());
    put_bytes(&mut pair, 2, &any);
    pair
}
