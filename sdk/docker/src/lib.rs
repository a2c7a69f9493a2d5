//! A client for the Docker engine (and podman's compatible socket): the calls that discovery, log collection and resource
//! detection need.
//!
//! Written on hyper instead of taken from bollard because following logs is the hot path of most of our users: they are
//! read from the socket into the memory that lines are parts of ([`Logs`]), and [`frames`] cuts them there; and because four
//! GET requests need none of the models of the whole API.

mod engine;
pub mod frames;
pub mod fuzz;
mod host;
mod logs;
mod model;
pub mod swarm;
mod turns;

pub use engine::{End, Engine, Error};
pub use host::{Host, HostError};
pub use logs::Logs;
pub use model::{
    Container, ContainerState, DetailedConfig, DetailedHealth, DetailedState, Details, Info, Network, NetworkEndpoint,
    Port,
};
