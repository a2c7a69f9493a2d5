//! ECS, by the metadata of the task that we are a container of.

use sdk_protocols_otlp::model::AnyValue;
use serde::Deserialize;

use super::super::attributes::Ecs;
use super::super::service::Service;
use super::super::{Chosen, Finding, Found, Missing, World};

/// Where the agent of ECS says that the metadata is, the newest version first.
const VARIABLES: [&str; 2] = ["ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI"];

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Task {
    availability_zone: String,
    cluster: String,
    containers: Vec<Container>,
    family: String,
    launch_type: String,
    revision: String,
    #[serde(rename = "TaskARN")]
    arn: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    docker_id: String,
    known_status: String,
    log_driver: String,
    log_options: LogOptions,
    r#type: String,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(default)]
struct LogOptions {
    #[serde(rename = "awslogs-group")]
    group: String,
    #[serde(rename = "awslogs-region")]
    region: String,
    #[serde(rename = "awslogs-stream")]
    stream: String,
}

pub(in super::super) async fn detect(chosen: &Chosen<Ecs>, world: &World) -> Result<Found, Missing> {
    let base = VARIABLES.iter().find_map(|name| world.variable(name));
    let base =
        base.ok_or_else(|| Missing::Elsewhere(format!("neither {} nor {} is set", VARIABLES[0], VARIABLES[1])))?;
    // With the variable we are in ECS, so whatever is missing is a failure.
    let task: Task = Service::new(world, &base[..]).json("task").await.map_err(Missing::failed)?;
    let mut finding = Finding::new(chosen);
    finding.set("cloud.provider", "aws");
    finding.set("cloud.platform", "aws_ecs");
    // arn:aws:ecs:<region>:<account>:task/<cluster>/<id>, of old without the cluster.
    let (region, account, id) = match task.arn.split(':').collect::<Vec<_>>()[..] {
        [_, _, _, region, account, path, ..] => (region, account, path.rsplit('/').next().unwrap_or_default()),
        _ => ("", "", ""),
    };
    finding.set("cloud.region", region);
    finding.set("cloud.account.id", account);
    finding.set("cloud.availability_zone", task.availability_zone);
    finding.set("aws.ecs.task.id", id);
    finding.set("aws.ecs.task.family", task.family);
    finding.set("aws.ecs.task.revision", task.revision);
    // Told as its short name, or as this.
    let cluster = match task.cluster.contains(':') {
        true => task.cluster,
        false => format!("arn:aws:ecs:{region}:{account}:cluster/{}", task.cluster),
    };
    finding.set("aws.ecs.cluster.arn", cluster);
    let launch_type = task.launch_type.to_lowercase();
    if matches!(&launch_type[..], "ec2" | "fargate") {
        finding.set("aws.ecs.launchtype", launch_type);
    }
    if let Ok(own) = world.json::<Container>(&base, &[]).await {
        logs(&mut finding, &task.containers, &own, account);
    }
    finding.set("aws.ecs.task.arn", task.arn);
    Ok(finding.found)
}

/// Where the other containers of the task log to.
fn logs(finding: &mut Finding<'_, Ecs>, containers: &[Container], own: &Container, account: &str) {
    let logs: Vec<&LogOptions> = containers
        .iter()
        .filter(|container| container.r#type == "NORMAL" && container.known_status == "RUNNING")
        .filter(|container| container.log_driver == "awslogs" && container.docker_id != own.docker_id)
        .map(|container| &container.log_options)
        .filter(|options| **options != LogOptions::default())
        .collect();
    let group = |log: &LogOptions| format!("arn:aws:logs:{}:{account}:log-group:{}", log.region, log.group);
    let list =
        |text: &dyn Fn(&LogOptions) -> String| -> Vec<AnyValue> { logs.iter().map(|log| text(log).into()).collect() };
    finding.set("aws.log.group.names", list(&|log| log.group.clone()));
    finding.set("aws.log.group.arns", list(&group));
    finding.set("aws.log.stream.names", list(&|log| log.stream.clone()));
    finding.set("aws.log.stream.arns", list(&|log| format!("{}:log-stream:{}", group(log), log.stream)));
}
