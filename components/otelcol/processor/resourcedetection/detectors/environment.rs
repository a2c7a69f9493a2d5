//! Detectors that read environment variables.

use sdk_protocols_otlp::model::AnyValue;

use super::attributes::{Heroku, Lambda};
use super::{Chosen, Finding, Found, Missing, World};

/// No key or value is longer.
const MAX_LENGTH: usize = 256;

/// `OTEL_RESOURCE_ATTRIBUTES`: `key=value,…`, values percent-encoded.
pub(super) fn env(world: &World) -> Result<Found, Missing> {
    let text = ["OTEL_RESOURCE_ATTRIBUTES", "OTEL_RESOURCE"].into_iter().find_map(|name| {
        let text = world.variable(name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    });
    let Some(text) = text else { return Ok(Found::new()) };
    let wrong = |what: &str| Missing::Failed(format!("invalid resource format: {what:?}"));
    let mut found = Found::new();
    // A comma at the end is fine.
    for pair in text.strip_suffix(',').unwrap_or(&text).split(',') {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong(pair))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || !pair.is_ascii() || key.len() > MAX_LENGTH || value.len() > MAX_LENGTH {
            return Err(wrong(pair));
        }
        let value = decoded(value).ok_or_else(|| wrong(pair))?;
        // The last one of a key counts.
        found.retain(|(other, _)| other != key);
        found.push((key.to_owned(), AnyValue::from(value)));
    }
    Ok(found)
}

/// Without percent signs; `+` is a blank.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                (high * 16 + low) as u8
            }
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn heroku(chosen: &Chosen<Heroku>, world: &World) -> Result<Found, Missing> {
    let (dyno, app) = (world.variable("HEROKU_DYNO_ID"), world.variable("HEROKU_APP_ID"));
    if dyno.is_none() && app.is_none() {
        return Err(Missing::Elsewhere("neither HEROKU_DYNO_ID nor HEROKU_APP_ID is set".to_owned()));
    }
    let mut finding = Finding::new(chosen);
    if app.is_some() {
        finding.set("cloud.provider", "heroku");
    }
    for (name, value) in [
        ("service.instance.id", dyno),
        ("heroku.app.id", app),
        ("service.name", world.variable("HEROKU_APP_NAME")),
        ("heroku.release.creation_timestamp", world.variable("HEROKU_RELEASE_CREATED_AT")),
        ("service.version", world.variable("HEROKU_RELEASE_VERSION")),
        ("heroku.release.commit", world.variable("HEROKU_SLUG_COMMIT")),
    ] {
        finding.set(name, value.unwrap_or_default());
    }
    Ok(finding.found)
}

pub(super) fn lambda(chosen: &Chosen<Lambda>, world: &World) -> Result<Found, Missing> {
    let variable = |name: &str| world.variable(name).unwrap_or_default();
    let function = variable("AWS_LAMBDA_FUNCTION_NAME");
    if function.is_empty() {
        return Err(Missing::Elsewhere("AWS_LAMBDA_FUNCTION_NAME is not set".to_owned()));
    }
    let mut finding = Finding::new(chosen);
    let (group, stream) = (variable("AWS_LAMBDA_LOG_GROUP_NAME"), variable("AWS_LAMBDA_LOG_STREAM_NAME"));
    let list = |text: &str| -> Vec<AnyValue> { (!text.is_empty()).then(|| text.into()).into_iter().collect() };
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_lambda");
    finding.set("cloud.region", variable("AWS_REGION"));
    finding.set("faas.name", function);
    finding.set("faas.version", variable("AWS_LAMBDA_FUNCTION_VERSION"));
    finding.set("faas.instance", stream.clone());
    finding.set("faas.max_memory", variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"));
    finding.set("aws.log.group.names", list(&group));
    finding.set("aws.log.stream.names", list(&stream));
    Ok(finding.found)
}
