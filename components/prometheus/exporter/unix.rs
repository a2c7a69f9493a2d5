//! `prometheus.exporter.unix`: this host's CPUs, memory, disks, file systems and network, under node_exporter's names.

#![allow(dead_code)] // until the component stands on it, in the next commit

mod arp;
mod collector;
mod conntrack;
mod cpu;
mod diskstats;
mod entropy;
mod filefd;
mod filesystem;
mod filter;
mod loadavg;
mod meminfo;
mod netclass;
mod netdev;
mod netstat;
mod node;
mod os;
mod pressure;
mod processes;
mod schedstat;
mod selinux;
mod sockstat;
mod softnet;
mod stat;
mod time;
mod udp_queues;
mod uname;
mod vmstat;

#[cfg(test)]
mod tests;
