//! `remotecfg`: pipelines from a configuration server.

use std::collections::BTreeMap;
use std::sync::Arc;

use base_stdx::duration::GoDuration;
use language_eval::{Block, Invalid, Validate};
use sdk_component::host::Host;
use sdk_component::{Problem, Service, Stop, Stopped, Update};
use sdk_net::ClientConfig;

/// Which server gives this collector its pipelines.
#[derive(Block)]
#[block(validate)]
pub struct Arguments {
    /// Address of the server; empty turns it off.
    #[attr(optional)]
    pub url: String,
    /// What this collector is known as; its seed when empty.
    #[attr(optional)]
    pub id: String,
    /// A name for people.
    #[attr(optional)]
    pub name: String,
    /// What the server chooses pipelines by.
    #[attr(optional)]
    pub attributes: BTreeMap<String, String>,
    /// How often the server is asked.
    #[attr(default = GoDuration::from_secs(60))]
    pub poll_frequency: GoDuration,
    #[squash]
    pub client: ClientConfig,
}

pub struct RemoteConfig;

// === impl Arguments ===

impl Validate for Arguments {
    fn validate(&self) -> Result<(), Invalid> {
        if let Some(reserved) = self.attributes.keys().find(|name| name.starts_with("collector.")) {
            let message = format!(
                "{reserved:?} is a reserved key: attributes that begin with \"collector.\" are set by the collector"
            );
            return Err(Invalid::field("attributes", message));
        }
        if self.poll_frequency < GoDuration::from_secs(10) {
            let message = format!("poll_frequency must be at least \"10s\", got {:?}", self.poll_frequency.to_string());
            return Err(Invalid::field("poll_frequency", message));
        }
        Ok(())
    }
}

// === impl RemoteConfig ===

impl Service for RemoteConfig {
    const NAME: &'static str = "remotecfg";
    type Arguments = Arguments;

    fn update(&self, arguments: Arguments) -> Result<Update, Problem> {
        if !arguments.url.is_empty() {
            return Err(Problem::at("url", "remote configuration is not supported yet by this version of Ferroalloy")
                .with_hint("import.http or import.git fetch modules from elsewhere"));
        }
        Ok(Update::then(|| {}))
    }

    async fn run(self: Arc<Self>, _: Arc<dyn Host>, stop: Stop) -> Result<(), Stopped> {
        stop.stopped().await;
        Ok(())
    }
}
