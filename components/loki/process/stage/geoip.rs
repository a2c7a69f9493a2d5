//! `stage.geoip`: where an address is, from a database of MaxMind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use language_eval::Block;
use sdk_component::Problem;

use crate::process::jmespath::Expression;
use crate::process::json::Json;
use crate::process::mmdb::Database;
use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::work::{Source, Value, Work};

/// Looks up where an address is, in a database of MaxMind's format that is read into memory.
///
/// `city` extracts `geoip_city_name`, `geoip_country_name`, `geoip_country_code`, `geoip_continent_name`,
/// `geoip_continent_code`, `geoip_location_latitude`, `geoip_location_longitude`, `geoip_postal_code`, `geoip_timezone`,
/// `geoip_subdivision_name` and `geoip_subdivision_code`; `country` the country and the continent; `asn`
/// `geoip_autonomous_system_number` and `geoip_autonomous_system_organization`.
#[derive(Block, Clone, Debug, PartialEq)]
pub struct GeoipStage {
    /// Path of a MaxMind database.
    #[attr]
    db: String,
    /// Name of the extracted value that holds the address.
    #[attr]
    source: String,
    /// `city`, `asn` or `country`.
    #[attr(optional)]
    db_type: String,
    /// Name of the extracted value → JMESPath expression over the record; an empty expression means the name.
    #[attr(optional)]
    custom_lookups: BTreeMap<String, String>,
}

struct Geoip {
    database: Database,
    source: Source,
    fields: Vec<(Field, Slot)>,
    expressions: Vec<(Slot, Expression)>,
    /// What an address gave, before it is written.
    found: Vec<(Slot, Found)>,
}

enum Found {
    Number(f64),
    Text(Vec<u8>),
    Bool(bool),
}

/// What a kind of database tells, under which name it is extracted, and where it stands in a record.
#[derive(Clone, Copy)]
enum Field {
    /// A text that is not empty, behind these keys.
    Text(&'static [&'static str]),
    /// The same, of the last of the subdivisions.
    Subdivision(&'static [&'static str]),
    /// A number that is not zero.
    Number(&'static str),
    /// Latitude or longitude, unless both are zero.
    Location(&'static str),
}

const COUNTRY: &[(&str, Field)] = &[
    ("geoip_country_name", Field::Text(&["country", "names", "en"])),
    ("geoip_country_code", Field::Text(&["country", "iso_code"])),
    ("geoip_continent_name", Field::Text(&["continent", "names", "en"])),
    ("geoip_continent_code", Field::Text(&["continent", "code"])),
];

const CITY: &[(&str, Field)] = &[
    ("geoip_city_name", Field::Text(&["city", "names", "en"])),
    ("geoip_location_latitude", Field::Location("latitude")),
    ("geoip_location_longitude", Field::Location("longitude")),
    ("geoip_postal_code", Field::Text(&["postal", "code"])),
    ("geoip_timezone", Field::Text(&["location", "time_zone"])),
    ("geoip_subdivision_name", Field::Subdivision(&["names", "en"])),
    ("geoip_subdivision_code", Field::Subdivision(&["iso_code"])),
];

const ASN: &[(&str, Field)] = &[
    ("geoip_autonomous_system_number", Field::Number("autonomous_system_number")),
    ("geoip_autonomous_system_organization", Field::Text(&["autonomous_system_organization"])),
];

// === impl GeoipStage ===

impl GeoipStage {
    fn fields(&self) -> impl Iterator<Item = (&'static str, Field)> {
        let (one, other): (&[_], &[_]) = match self.db_type.as_str() {
            "city" => (COUNTRY, CITY),
            "country" => (COUNTRY, &[]),
            "asn" => (ASN, &[]),
            _ => (&[], &[]),
        };
        one.iter().chain(other).copied()
    }
}

impl StageConfig for GeoipStage {
    fn names(&self, plan: &mut Plan) {
        plan.read(&self.source);
        self.fields().for_each(|(name, _)| plan.write(name));
        self.custom_lookups.keys().for_each(|name| plan.write(name));
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if self.db.is_empty() {
            return Err(Problem::at("db", "db path cannot be empty"));
        }
        if self.source.is_empty() {
            return Err(Problem::at("source", "source cannot be empty"));
        }
        match self.db_type.as_str() {
            "" if self.custom_lookups.is_empty() => return Err(Problem::new("db type or values need to be set")),
            "" | "city" | "asn" | "country" => {}
            _ => return Err(Problem::at("db_type", "db type should be either city or asn")),
        }
        let mut expressions = Vec::new();
        for (name, expression) in &self.custom_lookups {
            let text = if expression.is_empty() { name } else { expression };
            let expression = Expression::new(text).map_err(|error| {
                Problem::at("custom_lookups", format!("could not compile JMES expression {text:?}: {error}"))
            })?;
            if let Some(slot) = site.plan.slot(name) {
                expressions.push((slot, expression));
            }
        }
        let database = Database::open(Path::new(&self.db)).map_err(|why| Problem {
            field: Some("db".to_owned()),
            ..Problem::environment(format!("cannot read the database {}: {why}", self.db))
        })?;
        let fields = self.fields().filter_map(|(name, field)| Some((field, site.plan.slot(name)?))).collect();
        let source = site.source(Some(&self.source));
        Ok(Box::new(Geoip { database, source, fields, expressions, found: Vec::new() }))
    }
}

// === impl Geoip ===

impl Stage for Geoip {
    fn run(&mut self, work: &mut Work) {
        let Work { lines, store, streams, .. } = work;
        for line in lines {
            let Some(span) = self.source.span(store, line, streams) else { continue };
            let text = std::str::from_utf8(store.bytes(line, span)).ok();
            let Some(address) = text.and_then(|text| text.parse::<IpAddr>().ok()) else {
                tracing::debug!(source = text, "the source of stage.geoip is no address");
                continue;
            };
            self.look_up(address);
            for (slot, found) in self.found.drain(..) {
                let value = match found {
                    Found::Number(number) => Value::Number(number),
                    Found::Bool(value) => Value::Bool(value),
                    Found::Text(text) => store.push(&text).map_or(Value::Null, Value::Text),
                };
                store.set(line, slot, value);
            }
        }
    }
}

impl Geoip {
    fn look_up(&mut self, address: IpAddr) {
        let record = match self.database.find(address) {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%address, %error, "an address cannot be looked up");
                return;
            }
        };
        for (field, slot) in &self.fields {
            if let Some(found) = field.of(&record) {
                self.found.push((*slot, found));
            }
        }
        for (slot, expression) in &self.expressions {
            // Lists and objects are nothing that later stages take, in Alloy either.
            let found = match expression.search(&record) {
                Ok(Json::Number(number)) => Found::Number(number),
                Ok(Json::Bool(value)) => Found::Bool(value),
                Ok(Json::String(text)) => Found::Text(text.into_owned().into_bytes()),
                _ => continue,
            };
            self.found.push((*slot, found));
        }
    }
}

// === impl Field ===

impl Field {
    fn of(self, record: &Json<'_>) -> Option<Found> {
        match self {
            Field::Text(path) => text(record, path),
            Field::Subdivision(path) => match record.field("subdivisions")? {
                Json::Array(subdivisions) => text(subdivisions.last()?, path),
                _ => None,
            },
            Field::Number(name) => match record.field(name)? {
                Json::Number(number) if *number != 0.0 => Some(Found::Number(*number)),
                _ => None,
            },
            Field::Location(name) => {
                let location = record.field("location")?;
                let coordinate = |name: &str| match location.field(name) {
                    Some(Json::Number(number)) => *number,
                    _ => 0.0,
                };
                let somewhere = coordinate("latitude") != 0.0 || coordinate("longitude") != 0.0;
                somewhere.then(|| Found::Number(coordinate(name)))
            }
        }
    }
}

fn text(record: &Json<'_>, path: &[&str]) -> Option<Found> {
    let value = path.iter().try_fold(record, |value, key| value.field(key))?;
    match value {
        Json::String(text) if !text.is_empty() => Some(Found::Text(text.as_bytes().to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use language_eval::{FromValue, Scope, ToValue};
    use sdk_labels::Labels;
    use sdk_signals::{LogBatch, LogEntry, LogsReceiver};
    use sdk_testing::collector::Collector;
    use sdk_testing::component::{Alone, scope};

    use crate::process::Process;
    use crate::process::mmdb::tests::database;

    fn sink() -> (std::sync::Arc<Collector<LogBatch>>, Scope) {
        let (collector, receiver) = Collector::new();
        let sink = language_eval::Value::Array(vec![LogsReceiver(receiver).to_value()].into());
        (collector, scope([("sink", sink)]))
    }

    fn config(stage: &str, labels: &str) -> String {
        format!(
            "forward_to = sink\nstage.regex {{\n expression = \"(?P<ip>.*)\"\n}}\nstage.geoip {{\n source = \"ip\"\n{stage}\n}}\n\
             stage.labels {{\n values = {{ {labels} }}\n}}"
        )
    }

    async fn labels(stage: &str, labels: &str, address: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.mmdb");
        std::fs::write(&file, database(28)).unwrap();
        let (collector, scope) = sink();
        let stage = format!("db = \"{}\"\n{stage}", file.display());
        let mut alone = Alone::<Process>::start(&config(&stage, labels), &scope).unwrap();
        let receiver = LogsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
        let batch = LogBatch::of(Labels::empty(), vec![LogEntry::new(1, address.to_owned())]);
        receiver.0.consume(batch).await.unwrap().detach();
        let batches = collector.wait_for(1).await;
        alone.stop().await.unwrap();
        batches[0].groups[0].labels.to_string()
    }

    #[tokio::test]
    async fn what_the_database_tells_is_extracted() {
        let city = "geoip_city_name = \"\", geoip_country_code = \"\", geoip_location_latitude = \"\", geoip_subdivision_code = \"\", geoip_timezone = \"\"";
        let expected = "{geoip_city_name=\"Linköping\", geoip_country_code=\"SE\", geoip_location_latitude=\"58.4167\", \
                        geoip_subdivision_code=\"E\", geoip_timezone=\"Europe/Stockholm\"}";
        assert_eq!(labels("db_type = \"city\"", city, "89.160.20.112").await, expected);
        let asn = "geoip_autonomous_system_number = \"\", geoip_autonomous_system_organization = \"\"";
        let expected =
            "{geoip_autonomous_system_number=\"1221\", geoip_autonomous_system_organization=\"Telstra Pty Ltd\"}";
        assert_eq!(labels("db_type = \"asn\"", asn, "1.2.3.4").await, expected);
        let country = "geoip_country_name = \"\", geoip_continent_code = \"\", geoip_city_name = \"\"";
        let expected = "{geoip_continent_code=\"EU\", geoip_country_name=\"Sweden\"}";
        assert_eq!(labels("db_type = \"country\"", country, "1.2.3.4").await, expected);
    }

    #[tokio::test]
    async fn expressions_see_the_whole_record() {
        let lookups = "custom_lookups = { \"german\" = \"city.names.de\", \"postal\" = \"postal.code\", \"list\" = \"subdivisions\" }";
        let wanted = "german = \"\", postal = \"\", list = \"\"";
        assert_eq!(labels(lookups, wanted, "1.2.3.4").await, "{german=\"anders\", postal=\"58000\"}");
    }

    #[tokio::test]
    async fn addresses_that_are_none_or_nowhere_leave_the_line_alone() {
        for address in ["nonsense", "200.1.1.1", "2001:db8::1"] {
            assert_eq!(labels("db_type = \"city\"", "geoip_country_code = \"\"", address).await, "{}", "{address}");
        }
    }

    #[test]
    fn faults_are_named() {
        let (_, scope) = sink();
        for (stage, fault) in [
            ("db = \"/nowhere/geo.mmdb\"\ndb_type = \"city\"", "/nowhere/geo.mmdb"),
            ("db = \"\"\ndb_type = \"city\"", "db path cannot be empty"),
            ("db = \"x\"", "db type or values need to be set"),
            ("db = \"x\"\ndb_type = \"street\"", "city or asn"),
            ("db = \"x\"\ncustom_lookups = { a = \"(\" }", "could not compile"),
        ] {
            let said = Alone::<Process>::build(&config(stage, "a = \"\""), &scope).err();
            assert!(said.as_ref().is_some_and(|said| said.contains(fault)), "{stage}: {said:?}");
        }
    }
}
