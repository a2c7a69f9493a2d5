//! The one list of all components.
//!
//! To add a component: its file (the path is the name), a `mod` line and a line in its family's `COMPONENTS`, and a spec.

use sdk_component::Definition;

/// Every family.
pub const FAMILIES: &[&[Definition]] = &[
    components_discovery::COMPONENTS,
    components_faro::COMPONENTS,
    components_local::COMPONENTS,
    components_loki::COMPONENTS,
    components_otelcol::COMPONENTS,
    components_otelcol_connector::COMPONENTS,
    components_otelcol_exporter::COMPONENTS,
    components_otelcol_processor::COMPONENTS,
    components_otelcol_receiver::COMPONENTS,
    components_prometheus::COMPONENTS,
    components_prometheus_exporter::COMPONENTS,
];

/// What Alloy has and we do not yet: so that who comes from there is told this, and not that the name is misspelt.
pub const NOT_YET: &[&str] = &[
    "beyla.ebpf",
    "database_observability.mysql",
    "database_observability.postgres",
    "database_observability.sql_server",
    "discovery.aws",
    "discovery.azure",
    "discovery.consul",
    "discovery.consulagent",
    "discovery.digitalocean",
    "discovery.ec2",
    "discovery.eureka",
    "discovery.gce",
    "discovery.hetzner",
    "discovery.ionos",
    "discovery.kubelet",
    "discovery.kuma",
    "discovery.lightsail",
    "discovery.linode",
    "discovery.marathon",
    "discovery.nerve",
    "discovery.nomad",
    "discovery.openstack",
    "discovery.ovhcloud",
    "discovery.puppetdb",
    "discovery.scaleway",
    "discovery.serverset",
    "discovery.triton",
    "discovery.uyuni",
    "loki.rules.kubernetes",
    "loki.source.awsfirehose",
    "loki.source.azure_event_hubs",
    "loki.source.cloudflare",
    "loki.source.gcplog",
    "loki.source.gelf",
    "loki.source.heroku",
    "loki.source.kafka",
    "loki.source.windowsevent",
    "mimir.alerts.kubernetes",
    "mimir.rules.kubernetes",
    "otelcol.auth.google",
    "otelcol.auth.sigv4",
    "otelcol.connector.count",
    "otelcol.connector.signaltometrics",
    "otelcol.exporter.awss3",
    "otelcol.exporter.datadog",
    "otelcol.exporter.faro",
    "otelcol.exporter.googlecloud",
    "otelcol.exporter.googlecloudpubsub",
    "otelcol.exporter.kafka",
    "otelcol.exporter.splunkhec",
    "otelcol.exporter.syslog",
    "otelcol.extension.jaeger_remote_sampling",
    "otelcol.processor.metric_start_time",
    "otelcol.processor.redaction",
    "otelcol.receiver.awscloudwatch",
    "otelcol.receiver.awsecscontainermetrics",
    "otelcol.receiver.awss3",
    "otelcol.receiver.cloudflare",
    "otelcol.receiver.datadog",
    "otelcol.receiver.faro",
    "otelcol.receiver.file_stats",
    "otelcol.receiver.fluentforward",
    "otelcol.receiver.googlecloudpubsub",
    "otelcol.receiver.influxdb",
    "otelcol.receiver.kafka",
    "otelcol.receiver.nginx",
    "otelcol.receiver.solace",
    "otelcol.receiver.splunkhec",
    "otelcol.receiver.syslog",
    "otelcol.receiver.tcplog",
    "otelcol.receiver.vcenter",
    "prometheus.exporter.apache",
    "prometheus.exporter.azure",
    "prometheus.exporter.catchpoint",
    "prometheus.exporter.cloudwatch",
    "prometheus.exporter.consul",
    "prometheus.exporter.databricks",
    "prometheus.exporter.dnsmasq",
    "prometheus.exporter.elasticsearch",
    "prometheus.exporter.gcp",
    "prometheus.exporter.github",
    "prometheus.exporter.kafka",
    "prometheus.exporter.memcached",
    "prometheus.exporter.mongodb",
    "prometheus.exporter.mssql",
    "prometheus.exporter.mysql",
    "prometheus.exporter.oracledb",
    "prometheus.exporter.postgres",
    "prometheus.exporter.redis",
    "prometheus.exporter.snmp",
    "prometheus.exporter.snowflake",
    "prometheus.exporter.squid",
    "prometheus.exporter.static",
    "prometheus.exporter.statsd",
    "prometheus.exporter.windows",
    "prometheus.operator.podmonitors",
    "prometheus.operator.probes",
    "prometheus.operator.scrapeconfigs",
    "prometheus.operator.servicemonitors",
    "pyroscope.ebpf",
    "pyroscope.enrich",
    "pyroscope.java",
    "pyroscope.receive_http",
    "pyroscope.relabel",
    "pyroscope.scrape",
    "pyroscope.write",
    "remote.http",
    "remote.kubernetes.configmap",
    "remote.kubernetes.secret",
    "remote.s3",
    "remote.vault",
];

/// Every component, family by family.
pub fn all() -> impl Iterator<Item = &'static Definition> {
    FAMILIES.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_said_to_be_missing() {
        let stale: Vec<&str> = all().map(|definition| definition.name).filter(|name| NOT_YET.contains(name)).collect();
        assert!(stale.is_empty(), "take {stale:?} out of NOT_YET");
        assert!(NOT_YET.is_sorted());
    }
}
