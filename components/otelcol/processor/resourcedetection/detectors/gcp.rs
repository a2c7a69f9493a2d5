//! Google Cloud, by its metadata server.

use super::attributes::Gcp;
use super::service::Service;
use super::{Chosen, Finding, Found, Missing, World};

pub(super) async fn detect(chosen: &Chosen<Gcp>, world: &World) -> Result<Found, Missing> {
    let server =
        Service::new(world, format!("{}/computeMetadata/v1", world.places.google)).with("metadata-flavor", "Google");
    let project = server.get("project/project-id").await?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "gcp");
    finding.set("cloud.account.id", project);
    if world.variable("KUBERNETES_SERVICE_HOST").is_some() {
        finding.set("cloud.platform", "gcp_kubernetes_engine");
        let location = server.optional("instance/attributes/cluster-location").await;
        // us-central1 is a region, us-central1-a a zone.
        match location.matches('-').count() {
            1 => finding.set("cloud.region", location),
            _ => finding.set("cloud.availability_zone", location),
        }
        finding.set("k8s.cluster.name", server.optional("instance/attributes/cluster-name").await);
        finding.set("host.id", server.optional("instance/id").await);
    } else if world.variable("FUNCTION_TARGET").is_some() || world.variable("K_CONFIGURATION").is_some() {
        let function = world.variable("FUNCTION_TARGET").is_some();
        finding.set("cloud.platform", if function { "gcp_cloud_functions" } else { "gcp_cloud_run" });
        finding.set("faas.name", world.variable("K_SERVICE").unwrap_or_default());
        finding.set("faas.version", world.variable("K_REVISION").unwrap_or_default());
        finding.set("faas.instance", server.optional("instance/id").await);
        finding.set("cloud.region", last(&server.optional("instance/region").await));
    } else if world.variable("CLOUD_RUN_JOB").is_some() {
        finding.set("cloud.platform", "gcp_cloud_run");
        finding.set("faas.name", world.variable("CLOUD_RUN_JOB").unwrap_or_default());
        finding.set("faas.instance", server.optional("instance/id").await);
        finding.set("cloud.region", last(&server.optional("instance/region").await));
        finding.set("gcp.cloud_run.job.execution", world.variable("CLOUD_RUN_EXECUTION").unwrap_or_default());
        finding.set("gcp.cloud_run.job.task_index", world.variable("CLOUD_RUN_TASK_INDEX").unwrap_or_default());
    } else if world.variable("GAE_SERVICE").is_some() {
        return Err(Missing::Failed("App Engine is not supported yet by this version of Ferroalloy".to_owned()));
    } else {
        machine(&mut finding, &server).await;
    }
    Ok(finding.found)
}

/// Compute Engine.
async fn machine(finding: &mut Finding<'_, Gcp>, server: &Service<'_>) {
    finding.set("cloud.platform", "gcp_compute_engine");
    let zone = last(&server.optional("instance/zone").await);
    finding.set("cloud.region", zone.rsplit_once('-').map(|(region, _)| region.to_owned()).unwrap_or_default());
    finding.set("cloud.availability_zone", zone);
    finding.set("host.type", server.optional("instance/machine-type").await);
    finding.set("host.id", server.optional("instance/id").await);
    let name = server.optional("instance/name").await;
    finding.set("host.name", name.clone());
    finding.set("gcp.gce.instance.name", name);
    finding.set("gcp.gce.instance.hostname", server.optional("instance/hostname").await);
    // projects/<n>/zones/<zone>/instanceGroupManagers/<name>, or regions/<region>.
    let maker = server.optional("instance/attributes/created-by").await;
    if let ["projects", _, kind @ ("zones" | "regions"), place, "instanceGroupManagers", name] =
        maker.split('/').collect::<Vec<_>>()[..]
    {
        finding.set("gcp.gce.instance.group_manager.name", name);
        let attribute = if kind == "zones" { "zone" } else { "region" };
        finding.set(&format!("gcp.gce.instance.group_manager.{attribute}"), place);
    }
}

/// The last part of a path.
fn last(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}
