//! The runtime with fake components: what a load, a reload, a changed export, a panic and a stop do.

mod fakes;
mod health;
mod imports;
mod loading;
mod modules;
mod propagation;
mod reloading;
mod speed;
