//! `stage.geoip`: not there yet. Its arguments are checked, and the stage is refused.

use std::collections::BTreeMap;

use language_eval::Block;
use sdk_component::Problem;

use crate::process::pipeline::{Site, Stage, StageConfig};

/// Looks up where an address is. Not supported yet: a configuration with this stage is refused.
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
    /// Name of the extracted value → JMESPath expression over the record.
    #[attr(optional)]
    custom_lookups: BTreeMap<String, String>,
}

impl StageConfig for GeoipStage {
    fn build(&self, _: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        if !matches!(self.db_type.as_str(), "" | "city" | "asn" | "country") {
            return Err(Problem::at("db_type", "db type should be either city or asn"));
        }
        Err(Problem::new("\"stage.geoip\" is not supported yet by this version of Ferroalloy")
            .with_hint("remove it, or run this component in Alloy until it is"))
    }
}
